# sources of tests/privileged
