# unit tests of src/files
check_PROGRAMS += tests/unit/test_files
tests_unit_test_files_SOURCES = tests/unit/test_files.c
tests_unit_test_files_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(ARCHIVE_CFLAGS)
tests_unit_test_files_LDADD = libqfilesw.a libqfiles.a libqwire.a libqbase.a $(ARCHIVE_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)
