# unit tests of minit
