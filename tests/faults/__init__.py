"""Faults that are put into a real daemon, or into a real process of it; each test says what is expected of it.

 1 SIGKILL of the daemon at random             test_kills          all once, no kill is a try, no lease awaited
 2 SIGKILL at each step of a change            test_effect_kills   finished or never begun, nothing left behind
 3 SIGSEGV of the engine child                 test_engine         another child, the job done once
 4 more events than inotify holds              test_overflow       all once: a scan is the truth
 5 a job at which the child dies each time     test_poison         quarantined after three, the next one done
 6 a full disk, of the database, of the notes  test_disk_full      told, nothing torn, all once when there is room
 7 an engine child that stands still           test_engine         replaced, its request fails by name
 8 files added while the daemon is down        test_files          done once at the next start
 9 an edit while the model reads               test_files          the stale answer dropped, the file queued again
10 a second daemon on one home                 test_second_daemon  refused with the pid of the first
11 a write lock from outside                   test_write_lock     reading goes on, what came meanwhile done once
12 an engine child over its memory             test_engine         replaced; readers in tests/readers
13 the clock an hour on, and an hour back      test_clock          leases kept, all once; DST in tests/triggers
14 a webhook that fails, is late, or drops     test_webhook        sent again with one id
15 a log renamed, emptied, its inode reused    test_logs           each line once; inodes in tests/logs

And a storm of clients, in test_socket. The long forms are marked slow: `make soak` runs them.
"""
