from agentd.store import choices
from agentd.store.database import Store
from tests.making import make_choice


async def test_a_choice_is_for_one_file_on_one_machine(store: Store) -> None:
    choice = make_choice()
    assert await store.read(choices.get, choice.sha256, choice.machine) is None
    await store.write(choices.put, choice)
    assert await store.read(choices.get, choice.sha256, choice.machine) == choice
    assert await store.read(choices.get, "cd" * 32, choice.machine) is None
    assert await store.read(choices.get, choice.sha256, "another machine") is None


async def test_what_was_measured_last_holds(store: Store) -> None:
    elsewhere = make_choice(machine="another machine")
    for choice in (make_choice(), elsewhere, make_choice(threads=1, build="0.3.37-0")):
        await store.write(choices.put, choice)
    found = await store.read(choices.get, elsewhere.sha256, make_choice().machine)
    assert found is not None
    assert (found.threads, found.build) == (1, "0.3.37-0")
    assert await store.read(choices.get, elsewhere.sha256, elsewhere.machine) == elsewhere


async def test_what_is_forgotten_is_gone(store: Store) -> None:
    choice, other = make_choice(), make_choice(machine="another machine")
    for one in (choice, other):
        await store.write(choices.put, one)
    for _ in range(2):
        await store.write(choices.forget, choice.sha256, choice.machine)
        assert await store.read(choices.get, choice.sha256, choice.machine) is None
    assert await store.read(choices.get, other.sha256, other.machine) == other
