# sources of src/runtime
