# unit tests of api
