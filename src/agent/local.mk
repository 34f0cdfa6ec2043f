# sources of src/agent
