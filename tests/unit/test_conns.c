/* Which connection the next exec gets. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "conns.h"

static struct qt_conns *conns;
static int ends[2]; /* ours, the init's */

static int begin(void **state)
{
	struct qt_err e = {0};

	(void)state;
	return qt_conns_new(&conns, &e);
}

static int end(void **state)
{
	(void)state;
	qt_conns_free(conns);
	return 0;
}

static struct qt_id put(void)
{
	struct qt_id id = qt_id_new("ctr");

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	qt_conns_put(conns, &id, ends[0]);
	return id;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_each_its_own(void **state)
{
	struct qt_id a = put(), other = qt_id_new("ctr");
	int fd = ends[0];

	(void)state;
	assert_int_equal(qt_conns_take(conns, &other), -1);
	assert_int_equal(qt_conns_take(conns, &a), fd);
	/* One has it at a time. */
	assert_int_equal(qt_conns_take(conns, &a), -1);
	qt_conns_put(conns, &a, fd);
	qt_conns_sweep(conns);
	assert_int_equal(qt_conns_take(conns, &a), fd);
	close(fd);
	close(ends[1]);
	assert_int_equal(qt_conns_take(NULL, &a), -1);
}

static void test_dead_ones_are_not_given(void **state)
{
	struct qt_id a = put();
	int fd = ends[0];

	(void)state;
	close(ends[1]);
	assert_int_equal(qt_conns_take(conns, &a), -1);
	assert_false(is_open(fd));
	/* An init that says something unasked. */
	a = put();
	fd = ends[0];
	assert_int_equal(send(ends[1], "x", 1, 0), 1);
	assert_int_equal(qt_conns_take(conns, &a), -1);
	assert_false(is_open(fd));
	close(ends[1]);
}

static void test_old_ones_go(void **state)
{
	struct qt_id a = put();
	int fd = ends[0], dead;

	(void)state;
	close(ends[1]);
	dead = fd;
	qt_conns_sweep(conns);
	assert_false(is_open(dead));
	a = put();
	fd = ends[0];
	(void)poll(NULL, 0, QT_CONNS_MS + 10);
	qt_conns_sweep(conns);
	assert_false(is_open(fd));
	assert_int_equal(qt_conns_take(conns, &a), -1);
	close(ends[1]);
}

static void test_there_is_room_for_so_many(void **state)
{
	struct qt_id id[QT_CONNS_MAX + 1];
	int theirs[QT_CONNS_MAX + 1], fd;

	(void)state;
	for (size_t i = 0; i < QT_CONNS_MAX + 1; i++) {
		id[i] = put();
		theirs[i] = ends[1];
		if (i == 0)
			(void)poll(NULL, 0, 5); /* the oldest */
	}
	assert_int_equal(qt_conns_take(conns, &id[0]), -1);
	for (size_t i = 1; i < QT_CONNS_MAX + 1; i++) {
		fd = qt_conns_take(conns, &id[i]);
		assert_true(fd >= 0);
		close(fd);
	}
	for (size_t i = 0; i < QT_CONNS_MAX + 1; i++)
		close(theirs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_its_own),
		cmocka_unit_test(test_dead_ones_are_not_given),
		cmocka_unit_test(test_old_ones_go),
		cmocka_unit_test(test_there_is_room_for_so_many),
	};

	return cmocka_run_group_tests_name("kept connections", tests, begin, end);
}
