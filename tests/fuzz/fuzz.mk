# Fuzz targets: fuzz_NAME.c with its corpus in corpus/NAME. With gcc they are tests (driver.c: the corpus, and ROUNDS mutations of it); with --enable-libfuzzer, which
# scripts/fuzz uses, each is clang's fuzzer.
FUZZ_H = tests/fuzz/fuzz.h
if LIBFUZZER
FUZZ_MAIN = $(FUZZ_H)
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
else
FUZZ_MAIN = $(FUZZ_H) tests/fuzz/driver.c
FUZZ_LINK = $(AM_LDFLAGS)
endif
FUZZ_CPP = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/fuzz
FUZZ_DIR = $(abs_top_srcdir)/tests/fuzz/corpus
EXTRA_DIST += tests/fuzz/corpus

check_PROGRAMS += tests/fuzz/fuzz_termmsg
tests_fuzz_fuzz_termmsg_SOURCES = tests/fuzz/fuzz_termmsg.c $(FUZZ_MAIN)
tests_fuzz_fuzz_termmsg_CPPFLAGS = $(FUZZ_CPP) -I$(top_srcdir)/src/stream $(JANSSON_CFLAGS) -DFUZZ_CORPUS='"$(FUZZ_DIR)/termmsg"' -DFUZZ_ROUNDS=40000
tests_fuzz_fuzz_termmsg_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_termmsg_LDADD = libqstream.a libqjson.a libqbase.a $(JANSSON_LIBS) $(CRYPTO_LIBS) -lm

check_PROGRAMS += tests/fuzz/fuzz_frames
tests_fuzz_fuzz_frames_SOURCES = tests/fuzz/fuzz_frames.c $(FUZZ_MAIN)
tests_fuzz_fuzz_frames_CPPFLAGS = $(FUZZ_CPP) -I$(top_srcdir)/src/stream $(JANSSON_CFLAGS) -DFUZZ_CORPUS='"$(FUZZ_DIR)/frames"' -DFUZZ_ROUNDS=20000
tests_fuzz_fuzz_frames_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_frames_LDADD = libqstream.a libqjson.a libqbase.a $(JANSSON_LIBS) $(CRYPTO_LIBS) -lm

check_PROGRAMS += tests/fuzz/fuzz_minit
tests_fuzz_fuzz_minit_SOURCES = tests/fuzz/fuzz_minit.c src/minit/frame.c src/minit/user.c $(FUZZ_MAIN)
tests_fuzz_fuzz_minit_CPPFLAGS = $(FUZZ_CPP) -DFUZZ_CORPUS='"$(FUZZ_DIR)/minit"' -DFUZZ_ROUNDS=60000
tests_fuzz_fuzz_minit_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_minit_LDADD = libqbase.a

check_PROGRAMS += tests/fuzz/fuzz_answers
tests_fuzz_fuzz_answers_SOURCES = tests/fuzz/fuzz_answers.c $(FUZZ_MAIN)
tests_fuzz_fuzz_answers_CPPFLAGS = $(FUZZ_CPP) -DFUZZ_CORPUS='"$(FUZZ_DIR)/answers"' -DFUZZ_ROUNDS=15000
tests_fuzz_fuzz_answers_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_answers_LDADD = libqminit.a libqbase.a

check_PROGRAMS += tests/fuzz/fuzz_logs
tests_fuzz_fuzz_logs_SOURCES = tests/fuzz/fuzz_logs.c src/minit/logw.c $(FUZZ_MAIN)
tests_fuzz_fuzz_logs_CPPFLAGS = $(FUZZ_CPP) -DFUZZ_CORPUS='"$(FUZZ_DIR)/logs"' -DFUZZ_ROUNDS=4000
tests_fuzz_fuzz_logs_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_logs_LDADD = libqminit.a libqbase.a

check_PROGRAMS += tests/fuzz/fuzz_wire
tests_fuzz_fuzz_wire_SOURCES = tests/fuzz/fuzz_wire.c $(FUZZ_MAIN)
tests_fuzz_fuzz_wire_CPPFLAGS = $(FUZZ_CPP) -DFUZZ_CORPUS='"$(FUZZ_DIR)/wire"' -DFUZZ_ROUNDS=40000
tests_fuzz_fuzz_wire_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_wire_LDADD = libqfiles.a libqwire.a libqbase.a

check_PROGRAMS += tests/fuzz/fuzz_dns
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c $(FUZZ_MAIN)
tests_fuzz_fuzz_dns_CPPFLAGS = $(FUZZ_CPP) -I$(top_srcdir)/src/dns -DFUZZ_CORPUS='"$(FUZZ_DIR)/dns"' -DFUZZ_ROUNDS=40000
tests_fuzz_fuzz_dns_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_dns_LDADD = libqdns.a libqwire.a libqbase.a $(LDNS_LIBS)

check_PROGRAMS += tests/fuzz/fuzz_request
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c $(FUZZ_MAIN)
tests_fuzz_fuzz_request_CPPFLAGS = $(FUZZ_CPP) -I$(top_srcdir)/src/api $(JANSSON_CFLAGS) -DFUZZ_CORPUS='"$(FUZZ_DIR)/request"' -DFUZZ_ROUNDS=4000
tests_fuzz_fuzz_request_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_request_LDADD = libqapi.a libqlife.a libqminit.a libqfiles.a libqstore.a libqmodel.a libqjson.a libqwire.a libqbase.a \
	$(FCGI_LIBS) $(JANSSON_LIBS) $(HIREDIS_LIBS) $(CRYPTO_LIBS) -lpthread -lm

check_PROGRAMS += tests/fuzz/fuzz_image
tests_fuzz_fuzz_image_SOURCES = tests/fuzz/fuzz_image.c $(FUZZ_MAIN)
tests_fuzz_fuzz_image_CPPFLAGS = $(FUZZ_CPP) -I$(top_srcdir)/src/pull $(JANSSON_CFLAGS) -DFUZZ_CORPUS='"$(FUZZ_DIR)/image"' -DFUZZ_ROUNDS=20000
tests_fuzz_fuzz_image_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_image_LDADD = libqpull.a libqmodel.a libqbase.a $(CURL_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) -lpthread

check_PROGRAMS += tests/fuzz/fuzz_cdi
tests_fuzz_fuzz_cdi_SOURCES = tests/fuzz/fuzz_cdi.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cdi_CPPFLAGS = $(FUZZ_CPP) -DFUZZ_CORPUS='"$(FUZZ_DIR)/cdi"' -DFUZZ_ROUNDS=10000
tests_fuzz_fuzz_cdi_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_cdi_LDADD = $(RT_LIBS)

# With clang, for as long as SECONDS says, each target.
fuzz:
	$(top_srcdir)/scripts/fuzz
.PHONY: fuzz
