/* minit's data, hostile and torn: requests and configs, log files. Deterministic; what is mutated is so in tests/fuzz. */
#include <fcntl.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "minit/frame.h"
#include "minit/user.h"
#include "minit/logread.h"
#include "minit/logw.h"
#include "minit/minit_client.h"

static uint64_t seed = 88172645463325252ULL;

static uint32_t dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % sides;
}

struct frame {
	union {
		struct mi_msg m;
		struct mi_config c;
	};
	char texts[40];
};
#define TEXTS "sh\0-c\0true\0A=b\0C=d\0/srv"

static size_t valid_request(struct frame *f)
{
	*f = (struct frame){.m = {.magic = MI_MAGIC, .kind = MI_EXEC, .argv_len = 11, .env_len = 8, .cwd_len = 5, .uid = MI_ID_DEFAULT, .gid = 65535}};
	memcpy((char *)f + sizeof(f->m), TEXTS, sizeof(TEXTS));
	return sizeof(f->m) + sizeof(TEXTS);
}

static size_t valid_config(struct frame *f)
{
	*f = (struct frame){.c = {.magic = MI_MAGIC, .version = MI_VERSION, .argv_len = 11, .env_len = 8, .device_env_len = 4, .cwd_len = 5, .log_file_bytes = 4096,
				  .umask = 022, .stop_signal = 15}};
	memcpy((char *)f + sizeof(f->c), TEXTS, sizeof(TEXTS));
	return sizeof(f->c) + sizeof(TEXTS);
}

static int check(const void *p, size_t len, bool config, struct mi_run *run)
{
	return config ? mi_check_config(p, len, run) : mi_check_request(p, len, 3, run);
}

/* What is right is taken, and points into the message; what is not, tests/fuzz/fuzz_minit.c tries. */
static void requests_and_configs(void **state)
{
	(void)state;
	for (int config = 0; config < 2; config++) {
		struct frame f;
		size_t len = config ? valid_config(&f) : valid_request(&f);
		struct mi_run run;

		assert_int_equal(check(&f, len, config, &run), 0);
		assert_string_equal(run.cwd, "/srv");
		assert_int_equal(run.argv_len, 11);
		assert_memory_equal(run.argv, "sh\0-c\0true", 11);
		assert_memory_equal(run.env, "A=b\0C=d", 8);
		assert_int_not_equal(check(&f, len - 1, config, &run), 0);
		assert_int_not_equal(check(&f, len + 1, config, &run), 0);
	}
}

/* Two log files with numbers from 30 on, where logw_open() wants them. */
#define LOG_FD 300

static void open_logs(uint32_t bytes)
{
	for (int i = 0; i < 2; i++) {
		int fd = memfd_create("log", MFD_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(dup2(fd, LOG_FD + i), LOG_FD + i);
		qt_close(fd);
	}
	logw_open(LOG_FD, bytes);
}

static void close_logs(void)
{
	qt_close(LOG_FD);
	qt_close(LOG_FD + 1);
}

static void read_logs(struct qt_logs *l, size_t limit, size_t bytes)
{
	struct qt_err e = {0};

	assert_int_equal(qt_logs_read((const int[]){LOG_FD, LOG_FD + 1}, limit, bytes, l, &e), 0);
	for (size_t i = 1; i < l->n; i++)
		assert_true(l->records[i].seq > l->records[i - 1].seq);
}

static void add(const char *text, size_t len)
{
	logw_add(LOG_STDOUT, LOG_INFO, 0, text, len, 1000);
}

static void newest_in_order(void **state)
{
	struct qt_err e = {0};
	struct qt_logs l;
	char b[64];

	(void)state;
	open_logs(4096);
	read_logs(&l, 10, 1000);
	assert_int_equal(l.n, 0);
	qt_logs_done(&l);
	assert_int_equal(logw_text_max(), 4096 - sizeof(struct log_file) - sizeof(struct log_head) - sizeof(struct log_tail));
	for (unsigned i = 1; i <= 1000; i++) {
		(void)snprintf(b, sizeof(b), "line %u", i);
		add(b, strlen(b));
		if (i % 7 == 0)
			logw_flush();
		if (i == 1 || i == 500) { /* as a restart of the container does */
			logw_flush();
			logw_open(LOG_FD, 4096);
		}
	}
	logw_flush();
	read_logs(&l, 100, 100000);
	assert_int_equal(l.n, 100);
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(b, sizeof(b), "line %u", 901 + i);
		assert_int_equal(l.records[i].seq, 901 + i);
		assert_int_equal(l.records[i].len, strlen(b));
		assert_memory_equal(l.records[i].text, b, strlen(b));
		assert_true(l.records[i].stream == LOG_STDOUT && l.records[i].level == LOG_INFO && l.records[i].time_ms == 1000);
	}
	qt_logs_done(&l);
	assert_int_equal(qt_logs_read((const int[]){LOG_FD + 1, LOG_FD}, 1, 100, &l, &e), 0);
	assert_true(l.n == 1 && l.records[0].seq == 1000);
	qt_logs_done(&l);
	/* By bytes: the newest two, of 9 and 8 ("line 1000", "line 999"). */
	read_logs(&l, 100, 20);
	assert_int_equal(l.n, 2);
	qt_logs_done(&l);
	read_logs(&l, 0, 20);
	assert_int_equal(l.n, 0);
	qt_logs_done(&l);
	close_logs();
}

/* Text that looks like records, as well as somebody can make it who does not know the mark. */
static void hostile_text(char *b, size_t size)
{
	size_t at = 0;

	while (at + sizeof(struct log_head) + 4 + sizeof(struct log_tail) <= size) {
		struct log_head h = {4, LOG_SYSTEM, LOG_ERROR, 0, 7, 7};
		struct log_tail t = {.mark = 0x0101010101010101ULL, .len = 4};

		memcpy(b + at, &h, sizeof(h));
		memcpy(b + at + sizeof(h), "evil", 4);
		memcpy(b + at + sizeof(h) + 4, &t, sizeof(t));
		at += sizeof(h) + 4 + sizeof(t);
	}
	memset(b + at, 0xff, size - at);
}

static void wanted_only(void **state)
{
	static const struct {
		struct qt_logs_want want;
		unsigned n, first; /* how many come, and the number of the first */
	} cases[] = {
		{{1000, 1U << 20, 0, 0}, 300, 1},
		{{1000, 1U << 20, 0, 1U << LOG_STDERR}, 100, 3},
		{{5, 1U << 20, 0, 1U << LOG_STDERR}, 5, 288},
		{{1000, 1U << 20, 2950, 0}, 6, 295},
		{{1000, 1U << 20, 2950, 1U << LOG_STDOUT}, 4, 295},
		{{1000, 1U << 20, 3001, 0}, 0, 0},
		{{1000, 1U << 20, 0, 1U << LOG_SYSTEM}, 0, 0},
	};

	(void)state;
	open_logs(1U << 20);
	for (unsigned i = 1; i <= 300; i++)
		logw_add(i % 3 ? LOG_STDOUT : LOG_STDERR, LOG_INFO, 0, "x", 1, i * 10);
	logw_flush();
	for (size_t i = 0; i < QT_LEN(cases); i++) {
		struct qt_err e = {0};
		struct qt_logs l;

		assert_int_equal(qt_logs_find((const int[]){LOG_FD, LOG_FD + 1}, &cases[i].want, &l, &e), 0);
		assert_int_equal(l.n, cases[i].n);
		if (l.n)
			assert_int_equal(l.records[0].seq, cases[i].first);
		qt_logs_done(&l);
	}
	close_logs();
}

struct followed {
	struct qt_log_cursor at;
	uint64_t seq, lost, n;
};

static void on_record(const struct qt_log_record *r, void *arg)
{
	struct followed *f = arg;
	char b[64];

	assert_true(r->seq > f->seq);
	f->lost += r->seq - f->seq - 1;
	f->seq = r->seq;
	f->n++;
	(void)snprintf(b, sizeof(b), "line %llu", (unsigned long long)r->seq);
	assert_true(r->len >= strlen(b));
	assert_memory_equal(r->text, b, strlen(b));
}

static void read_on(struct followed *f)
{
	static char chunk[QT_LOG_CHUNK];
	struct qt_err e = {0};
	int r;

	while ((r = qt_logs_next((const int[]){LOG_FD, LOG_FD + 1}, &f->at, chunk, on_record, f, &e)) > 0)
		continue;
	assert_int_equal(r, 0);
}

/* While the files go round, a reader that keeps up misses nothing, and one that does not knows how much. */
static void following(void **state)
{
	struct followed quick = {0}, slow = {0}, late = {.at = {.seq = 700}, .seq = 700};
	char b[1024];

	(void)state;
	open_logs(4096);
	read_on(&quick);
	for (unsigned i = 1; i <= 2000; i++) {
		int n = snprintf(b, sizeof(b), "line %u", i);

		memset(b + n, 'x', sizeof(b) - (size_t)n);
		add(b, (size_t)n + dice(i % 50 == 0 ? 900 : 40));
		if (dice(3) == 0)
			logw_flush();
		if (dice(2) == 0)
			read_on(&quick);
		if (i % 400 == 0) {
			logw_flush(); /* as a restart of the container does */
			logw_open(LOG_FD, 4096);
			read_on(&slow);
		}
		if (i == 710) {
			logw_flush();
			read_on(&late);
		}
	}
	logw_flush();
	read_on(&quick);
	read_on(&slow);
	assert_true(quick.seq == 2000 && quick.n == 2000 && quick.lost == 0);
	assert_true(slow.seq == 2000 && slow.lost > 0 && slow.n + slow.lost == 2000);
	assert_true(late.seq == 710 && late.n == 10 && late.lost == 0);
	close_logs();
}

/* Cut anywhere, the file shows the records before the cut and nothing else; minit goes on behind them. */
static void torn_ends(void **state)
{
	static char evil[3000];
	struct qt_logs l;
	struct stat st;

	(void)state;
	hostile_text(evil, sizeof(evil));
	open_logs(1 << 20);
	add("first", 5);
	add(evil, sizeof(evil));
	add("third", 5);
	add(evil, 100);
	logw_flush();
	assert_int_equal(fstat(LOG_FD, &st), 0);
	for (off_t cut = st.st_size - 1; cut >= (off_t)sizeof(struct log_file); cut -= 1 + (cut > 200 && cut < 3000 ? 16 : 0)) {
		assert_int_equal(ftruncate(LOG_FD, cut), 0);
		read_logs(&l, 10, 1 << 20);
		assert_true(l.n <= 3);
		for (size_t i = 0; i < l.n; i++)
			assert_true(l.records[i].seq == i + 1 && l.records[i].stream == LOG_STDOUT);
		qt_logs_done(&l);
	}
	close_logs();

	open_logs(1 << 20);
	add("first", 5);
	add("second", 6);
	logw_flush();
	assert_int_equal(fstat(LOG_FD, &st), 0);
	assert_int_equal(ftruncate(LOG_FD, st.st_size - 3), 0);
	logw_open(LOG_FD, 1 << 20);
	add("again", 5);
	logw_flush();
	read_logs(&l, 10, 1 << 20);
	assert_int_equal(l.n, 2);
	assert_true(l.records[1].seq == 2);
	assert_memory_equal(l.records[1].text, "again", 5);
	qt_logs_done(&l);
	close_logs();
}

static void check_numbers(unsigned limit)
{
	struct qt_logs l;

	read_logs(&l, limit, 1 << 20);
	for (size_t i = 0; i < l.n; i++) {
		assert_int_equal(strtoull(l.records[i].text, NULL, 10), l.records[i].seq);
		assert_true(i == 0 || l.records[i].seq == l.records[i - 1].seq + 1);
	}
	qt_logs_done(&l);
}

/* While somebody writes as fast as he can: every record is whole, and numbers rise without a gap. */
static void read_while_written(void **state)
{
	pid_t writer;
	int st;

	(void)state;
	open_logs(65536);
	add("1.", 2);
	logw_flush();
	writer = fork();
	if (writer == 0) {
		char b[512];

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 2;; i++) {
			size_t n = (size_t)snprintf(b, sizeof(b), "%u", i) + 1 + i % 300;

			memset(b + strlen(b), '.', n - strlen(b));
			add(b, n);
			if (i % 10 == 0)
				logw_flush();
		}
	}
	assert_true(writer > 0);
	for (unsigned k = 0; k < 1000; k++)
		check_numbers(1 + k % 300);
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, &st, 0), writer);
	check_numbers(300);
	close_logs();
}

/* Whom an image wants, by files that are anybody's. */
static void users(void **state)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n#junk\nwww:x:1000:1001::/srv/www:/bin/sh\nbig:x:65536:1::/:\nshort:x:5\nrel:x:7:8::home:\nlast:x:9:10::/l";
	static const char group[] = "root:x:0:\nwww:x:1001:\nextra:x:77:www,last\nmore:x:78:x,www\nnot:x:79:wwww,ww";
	static const struct {
		const char *spec;
		int r;
		uint32_t uid, gid, n;
		const char *home;
	} rows[] = {
		{"www", 0, 1000, 1001, 2, "/srv/www"},	{"1000", 0, 1000, 1001, 2, "/srv/www"}, {"www:77", 0, 1000, 77, 0, "/srv/www"},
		{"www:extra", 0, 1000, 77, 0, "/srv/www"}, {"42", 0, 42, 0, 0, ""},	      {"42:43", 0, 42, 43, 0, ""},
		{"0", 0, 0, 0, 0, "/root"},		{"last", 0, 9, 10, 1, "/l"},	      {"rel", 0, 7, 8, 0, ""},
		{"nobody", ENOENT, 0, 0, 0, ""},	{"www:nogroup", ENOENT, 0, 0, 0, ""}, {"big", ENOENT, 0, 0, 0, ""},
		{"short", ENOENT, 0, 0, 0, ""},		{"65536", ERANGE, 0, 0, 0, ""},	      {"4294967296", ERANGE, 0, 0, 0, ""},
		{"1:65536", ERANGE, 0, 0, 0, ""},	{"", ENOENT, 0, 0, 0, ""},	      {":0", ENOENT, 0, 0, 0, ""},
		{"www:", ENOENT, 0, 0, 0, ""},
	};
	struct mi_user u;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int r = mi_user_find(rows[i].spec, passwd, sizeof(passwd) - 1, group, sizeof(group) - 1, &u);

		if (r != rows[i].r)
			fail_msg("%s: %d", rows[i].spec, r);
		if (r != 0)
			continue;
		if (u.uid != rows[i].uid || u.gid != rows[i].gid || u.n_groups != rows[i].n)
			fail_msg("%s: %u:%u, %u more", rows[i].spec, u.uid, u.gid, u.n_groups);
		assert_string_equal(u.home, rows[i].home);
	}
	/* Cut anywhere, it is read within its bounds. */
	for (size_t n = 0; n < sizeof(passwd); n++) {
		char *p = malloc(n + 1), *g = malloc(sizeof(group));

		assert_true(p && g);
		memcpy(p, passwd, n);
		memcpy(g, group, sizeof(group));
		(void)mi_user_find("www", p, n, g, n < sizeof(group) ? n : sizeof(group) - 1, &u);
		free(p);
		free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_and_configs), cmocka_unit_test(newest_in_order),
		cmocka_unit_test(users), cmocka_unit_test(wanted_only), cmocka_unit_test(following),
		cmocka_unit_test(torn_ends), cmocka_unit_test(read_while_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
