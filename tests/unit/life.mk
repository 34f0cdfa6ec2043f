# unit tests of life
