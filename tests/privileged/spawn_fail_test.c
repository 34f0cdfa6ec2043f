/* Every way to fail leaves no process, no group, no mount and no descriptor, and says what was wrong. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fds.h"
#include "rig.h"
#include "str.h"

#define IDLE (const char *const[]) { NULL }

/* It fails with CODE, its message has WORD in it, and nothing is left (rig_start looks at the group). */
static void want_failure(struct rig *r, const struct rig_what *w, enum qt_code code, const char *word)
{
	unsigned fds = count_fds();
	struct qt_err e = {0};
	struct box b;

	assert_int_equal(rig_start(r, w, &b, &e), -1);
	if (e.code != code || !strstr(e.msg, word) || strstr(e.msg, r->dir))
		fail_msg("got %s, \"%s\" (field %s)", qt_err_row(e.code)->name, e.msg, e.field);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(count_fds(), fds);
	/* The overlay is gone: its work directory can be removed, and a mount would keep it busy for the next one. */
	rig_remove_tree(r->work_fd, "work");
	assert_int_equal(faccessat(r->work_fd, "work", F_OK, 0), -1);
}

static void starts(struct rig *r)
{
	struct qt_err e = {0};
	struct box b;

	if (rig_start(r, &(struct rig_what){.argv = IDLE}, &b, &e) < 0)
		fail_msg("%s", e.msg);
	rig_stop(r, &b);
}

static void the_working_directory_is_a_file(void **state)
{
	want_failure(*state, &(struct rig_what){.argv = IDLE, .workdir = "/etc/passwd"}, QT_E_VALIDATION_ERROR, "working directory");
	want_failure(*state, &(struct rig_what){.argv = IDLE, .workdir = "/etc/passwd", .dies_first = true},
		     QT_E_VALIDATION_ERROR, "working directory");
	want_failure(*state, &(struct rig_what){.argv = IDLE, .workdir = "/etc/passwd/x"}, QT_E_VALIDATION_ERROR,
		     "working directory");
	want_failure(*state, &(struct rig_what){.argv = IDLE, .workdir = "relative"}, QT_E_VALIDATION_ERROR, "working directory");
	want_failure(*state, &(struct rig_what){.argv = IDLE, .workdir = "/ro/new"}, QT_E_VALIDATION_ERROR, "working directory");
	starts(*state);
}

static void attaching_fails(void **state)
{
	want_failure(*state, &(struct rig_what){.argv = IDLE, .fail_join = true}, QT_E_INTERNAL_ERROR, "go into its control groups");
	want_failure(*state, &(struct rig_what){.argv = IDLE, .fail_attach = true}, QT_E_CAPACITY_FULL, "no address");
	want_failure(*state, &(struct rig_what){.argv = IDLE, .fail_connect = true}, QT_E_CAPACITY_FULL, "no link");
	starts(*state);
}

static void the_init_hangs(void **state)
{
	want_failure(*state, &(struct rig_what){.argv = (const char *const[]){"hang", NULL}, .budget_ms = 400}, QT_E_TIMEOUT,
		     "in time");
	starts(*state);
}

static void the_init_dies(void **state)
{
	want_failure(*state, &(struct rig_what){.argv = (const char *const[]){"die", NULL}}, QT_E_INTERNAL_ERROR, "init ended");
	starts(*state);
}

static void the_init_says_what_failed(void **state)
{
	want_failure(*state, &(struct rig_what){.argv = (const char *const[]){"step", NULL}}, QT_E_VALIDATION_ERROR, "entered");
}

static void the_init_is_no_program(void **state)
{
	struct rig *r = *state;
	struct rt_spawner *good = r->spawner, *bad;
	struct qt_err e = {0};
	char path[96];

	assert_true(qt_fmt(path, sizeof(path), "%s/lower/etc/passwd", r->dir));
	assert_int_equal(rt_spawner_open(&bad, path, &e), 0);
	r->spawner = bad;
	want_failure(r, &(struct rig_what){.argv = IDLE}, QT_E_INTERNAL_ERROR, "execute the init");
	r->spawner = good;
	rt_spawner_close(bad);
	assert_int_equal(rt_spawner_open(&bad, r->dir, &e), -1);
	starts(r);
}

/* What the container's own root may have done to its root since. */
static void the_root_is_hostile(void **state)
{
	static const struct {
		const char *name, *to; /* a link to TO, or a file if that is NULL */
	} tricks[] = {
		{"proc", "/tmp"}, {"sys", "/"}, {"dev", "/proc/self/root/dev"}, {"proc", NULL}, {"etc", NULL}, {"etc", "/proc/1"},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < QT_LEN(tricks); i++) {
		rig_remove_tree(r->upper_fd, tricks[i].name);
		if (tricks[i].to)
			assert_int_equal(symlinkat(tricks[i].to, r->upper_fd, tricks[i].name), 0);
		else
			rig_write(r->upper_fd, tricks[i].name, "", 0644);
		want_failure(r, &(struct rig_what){.argv = IDLE}, QT_E_CONFLICT, "in the way");
		rig_remove_tree(r->upper_fd, tricks[i].name);
	}
	starts(r);
}

static void a_volume_goes_nowhere_else(void **state)
{
	static const char *const bad[] = {"/", "/proc", "/proc/sys", "/sys/x", "/dev", "relative", "/a/../b", "/a//b", "/a/", "/./a"};
	struct rig *r = *state;

	for (size_t i = 0; i < QT_LEN(bad); i++)
		want_failure(r, &(struct rig_what){.argv = IDLE, .volume = bad[i]}, QT_E_VALIDATION_ERROR, "attached");
	assert_int_equal(symlinkat("/", r->upper_fd, "trap"), 0);
	want_failure(r, &(struct rig_what){.argv = IDLE, .volume = "/trap"}, QT_E_VALIDATION_ERROR, "attached");
	want_failure(r, &(struct rig_what){.argv = IDLE, .volume = "/trap/tmp"}, QT_E_VALIDATION_ERROR, "attached");
	want_failure(r, &(struct rig_what){.argv = IDLE, .volume = "/etc/passwd"}, QT_E_VALIDATION_ERROR, "attached");
	starts(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_working_directory_is_a_file),
		cmocka_unit_test(attaching_fails),
		cmocka_unit_test(the_init_hangs),
		cmocka_unit_test(the_init_dies),
		cmocka_unit_test(the_init_says_what_failed),
		cmocka_unit_test(the_init_is_no_program),
		cmocka_unit_test(the_root_is_hostile),
		cmocka_unit_test(a_volume_goes_nowhere_else),
	};

	return cmocka_run_group_tests_name("spawn_fail", tests, rig_setup, rig_teardown);
}
