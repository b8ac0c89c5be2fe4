"""llama.cpp through llama-cpp-python's low-level functions: the only room that imports llama_cpp."""
