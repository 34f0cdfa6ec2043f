# The process that works on files, as the real runtime starts it.
noinst_PROGRAMS += tests/privileged/files_test
tests_privileged_files_test_SOURCES = tests/privileged/files_test.c tests/privileged/rt_rig.c tests/privileged/rt_rig.h src/files/enter.c
tests_privileged_files_test_CPPFLAGS = $(tests_privileged_rt_test_CPPFLAGS)
tests_privileged_files_test_LDADD = libqfilesw.a libqfiles.a libqspawn.a libqminit.a libqwire.a libqbase.a $(ARCHIVE_LIBS) $(SECCOMP_LIBS) $(CMOCKA_LIBS)

# The store of pulled images: the runtime, and the process that unpacks.
noinst_PROGRAMS += tests/privileged/image_test
tests_privileged_image_test_SOURCES = tests/privileged/image_test.c tests/privileged/image_rig.c tests/privileged/image_rig.h tests/privileged/rt_rig.c tests/privileged/rt_rig.h
tests_privileged_image_test_CPPFLAGS = $(tests_privileged_rt_test_CPPFLAGS)
tests_privileged_image_test_LDADD = libqfiles.a libqminit.a libqwire.a libqbase.a $(CRYPTO_LIBS) $(CMOCKA_LIBS)
