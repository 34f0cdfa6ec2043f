/* The ACL users may do what the code does, and nothing that would help a stranger in a program's place. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdio.h"
#include "redis.h"
#include "str.h"

enum { WORKER = 1, AGENT = 2, BOTH = 3, DNS = 4, ALL = 7 };

/* What the code sends itself, and the commands inside functions (redis checks those, too), on keys that they are used on. */
static const struct {
	int who;
	const char *command;
} used[] = {
	{ALL, "PING"},
	{DNS, "FCALL_RO qt_names 0"},
	{ALL, "GET quilt:node:node-1:names"},
	{DNS, "HMGET quilt:{ten_1}:ctr:ctr_1 name"},
	{DNS, "SMEMBERS quilt:node:node-1:ctrs"},
	{BOTH, "INCR quilt:node:node-1:names"},
	{BOTH, "FCALL qt_auth_limited 1 quilt:rate:x"},
	{BOTH, "FCALL qt_ctr_reserve 1 quilt:{ten_1}:ctrs"},
	{BOTH, "FCALL_RO qt_auth 0"},
	{BOTH, "TIME"},
	{BOTH, "EXISTS quilt:schema"},
	{BOTH, "HGET quilt:tenant:ten_1 max_containers"},
	{BOTH, "HGETALL quilt:{ten_1}:ctr:ctr_1"},
	{BOTH, "HMGET quilt:apikey:x revoked"},
	{BOTH, "HSET quilt:rate:x tokens 1"},
	{BOTH, "HSET quilt:{ten_1}:ctr:ctr_1 state running"},
	{BOTH, "HSETNX quilt:{ten_1}:names n ctr_1"},
	{BOTH, "HDEL quilt:{ten_1}:names n"},
	{BOTH, "HEXISTS quilt:{ten_1}:names n"},
	{BOTH, "ZADD quilt:{ten_1}:ctrs 1 ctr_1"},
	{BOTH, "ZREM quilt:{ten_1}:ctrs ctr_1"},
	{BOTH, "ZCARD quilt:{ten_1}:ctrs"},
	{BOTH, "ZSCORE quilt:{ten_1}:jobs:ctr_1 job_1"},
	{BOTH, "GET quilt:{ten_1}:job:job_1"},
	{BOTH, "ZRANGE quilt:{ten_1}:jobs:ctr_1 0 -1"},
	{BOTH, "ZRANGEBYSCORE quilt:{ten_1}:ctrs 0 1"},
	{BOTH, "ZPOPMIN quilt:{ten_1}:jobs"},
	{BOTH, "SADD quilt:node:node-1:ctrs ten_1/ctr_1"},
	{BOTH, "SREM quilt:{ten_1}:state:running ctr_1"},
	{BOTH, "SMEMBERS quilt:node:node-1:ctrs"},
	{BOTH, "SET quilt:{ten_1}:gone:ctr_1 1 EX 60"},
	{BOTH, "DEL quilt:{ten_1}:ctr:ctr_1"},
	{BOTH, "EXPIRE quilt:{ten_1}:op:op_1 60"},
	{BOTH, "INCR quilt:{ten_1}:fence"},
	{BOTH, "XADD quilt:{ten_1}:events * kind x"},
	{BOTH, "XREVRANGE quilt:{ten_1}:events + - COUNT 10"},
	{BOTH, "XADD quilt:node:node-1:ops * tenant ten_1"},
	{BOTH, "ZADD quilt:node:node-1:due 1 ten_1/op_1"},
	{BOTH, "ZREM quilt:node:node-1:due ten_1/op_1"},
	{AGENT, "XGROUP CREATE quilt:node:node-1:ops agent 0 MKSTREAM"},
	{AGENT, "XREADGROUP GROUP agent a COUNT 1 BLOCK 1 STREAMS quilt:node:node-1:ops >"},
	{AGENT, "XAUTOCLAIM quilt:node:node-1:ops agent a 1 0-0 COUNT 1"},
	{AGENT, "XCLAIM quilt:node:node-1:ops agent a 0 1-1 JUSTID"},
	{AGENT, "XACK quilt:node:node-1:ops agent 1-1"},
	{AGENT, "XDEL quilt:node:node-1:ops 1-1"},
	{AGENT, "HSET quilt:tenant:ten_1 plan x"},
	{AGENT, "HSET quilt:apikey:x plan x"},
	{AGENT, "HSET quilt:node:node-1 seen_ms 1"},
	{AGENT, "ZADD quilt:nodes 1 node-1"},
};

static const struct {
	int who;
	const char *command;
} refused[] = {
	{BOTH, "EVAL x 0"},
	{BOTH, "EVALSHA x 0"},
	{BOTH, "SCRIPT FLUSH"},
	{BOTH, "FUNCTION LOAD x"},
	{BOTH, "FUNCTION FLUSH"},
	{BOTH, "FUNCTION LIST"},
	{BOTH, "CONFIG GET *"},
	{BOTH, "CONFIG SET dir /"},
	{BOTH, "KEYS *"},
	{BOTH, "SCAN 0"},
	{BOTH, "RANDOMKEY"},
	{BOTH, "FLUSHALL"},
	{BOTH, "FLUSHDB"},
	{BOTH, "SWAPDB 0 1"},
	{BOTH, "RESTORE quilt:{ten_1}:x 0 x"},
	{BOTH, "DUMP quilt:{ten_1}:x"},
	{BOTH, "MIGRATE h 1 k 0 1"},
	{BOTH, "SORT quilt:{ten_1}:x"},
	{BOTH, "DEBUG SLEEP 1"},
	{BOTH, "ACL LIST"},
	{BOTH, "MONITOR"},
	{BOTH, "SAVE"},
	{BOTH, "BGREWRITEAOF"},
	{BOTH, "SHUTDOWN"},
	{BOTH, "REPLICAOF h 1"},
	{BOTH, "MODULE LIST"},
	{BOTH, "CLIENT LIST"},
	{BOTH, "CLIENT KILL ID 1"},
	{BOTH, "INFO"},
	{BOTH, "SUBSCRIBE x"},
	{BOTH, "PUBLISH x y"},
	{BOTH, "GET other"},
	{BOTH, "HGETALL other"},
	{BOTH, "HSET other f v"},
	{BOTH, "FCALL qt_event 1 other"},
	{BOTH, "XGROUP DESTROY quilt:node:node-1:ops agent"},
	{DNS, "FCALL qt_ctr_remove 1 quilt:{ten_1}:ctrs"},
	{DNS, "HGET quilt:apikey:x tenant"},
	{DNS, "HMGET quilt:apikey:x tenant"},
	{DNS, "GET quilt:schema"},
	{DNS, "HGETALL quilt:{ten_1}:ctr:ctr_1"},
	{DNS, "SMEMBERS quilt:{ten_1}:state:running"},
	{DNS, "INCR quilt:node:node-1:names"},
	{WORKER, "HSET quilt:apikey:x revoked 0"},
	{WORKER, "HSET quilt:tenant:ten_1 max_containers 9999"},
	{WORKER, "DEL quilt:apikey:x"},
	{WORKER, "SET quilt:schema 1"},
	{WORKER, "ZADD quilt:nodes 1 node-1"},
	{WORKER, "XREADGROUP GROUP agent a STREAMS quilt:node:node-1:ops >"},
};

static void dry_run(const char *user, const char *command, bool allowed)
{
	redisReply *r = admin("ACL DRYRUN %s %s", user, command);

	if (r->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", command, r->str);
	if (qt_streq(r->str, "OK") != allowed)
		fail_msg("%s, %s: %s", user, command, r->str);
	freeReplyObject(r);
}

static void test_used(void **state)
{
	(void)state;
	for (size_t i = 0; i < QT_LEN(used); i++) {
		if (used[i].who & WORKER)
			dry_run("quilt-worker", used[i].command, true);
		if (used[i].who & AGENT)
			dry_run("quilt-agent", used[i].command, true);
		if (used[i].who & DNS)
			dry_run("quilt-dns", used[i].command, true);
	}
}

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < QT_LEN(refused); i++) {
		if (refused[i].who & WORKER)
			dry_run("quilt-worker", refused[i].command, false);
		if (refused[i].who & AGENT)
			dry_run("quilt-agent", refused[i].command, false);
		if (refused[i].who & (BOTH | DNS))
			dry_run("quilt-dns", refused[i].command, false);
	}
}

/* A command that a function or the C code begins to use must come into the table above: here, and not at night. */
static void find_uses(const char *path, const char *before, char end)
{
	static const char *const no_commands[] = {"GROUP", "COUNT", "BLOCK", "STREAMS", "MKSTREAM"};
	auto_free char *text = malloc(1 << 18);
	char full[512];
	struct qt_err e = {0};

	(void)snprintf(full, sizeof(full), "%s/%s", QT_SRCDIR, path);
	if (qt_read_file(AT_FDCWD, full, text, 1 << 18, &e) < 0)
		fail_msg("%s: %s", path, e.msg);
	for (char *p = text; (p = strstr(p, before));) {
		char word[32];
		size_t n;
		bool found = false;

		p += strlen(before);
		n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
		if (n < 3 || n >= sizeof(word) || p[n] != end)
			continue;
		memcpy(word, p, n);
		word[n] = '\0';
		for (size_t i = 0; i < QT_LEN(used); i++)
			found |= strncmp(used[i].command, word, n) == 0 && (used[i].command[n] == ' ' || !used[i].command[n]);
		for (size_t i = 0; i < QT_LEN(no_commands); i++)
			found |= qt_streq(word, no_commands[i]);
		if (!found)
			fail_msg("%s uses %s, which this test does not know", path, word);
	}
}

static void test_nothing_else_is_used(void **state)
{
	static const char *const lua[] = {"common", "keys", "events", "job", "ctr", "list", "op", "account", "auth", "node"};
	char path[64];

	(void)state;
	for (size_t i = 0; i < QT_LEN(lua); i++) {
		(void)qt_fmt(path, sizeof(path), "src/store/lua/%s.lua", lua[i]);
		find_uses(path, "redis.call('", '\'');
		find_uses(path, "redis.pcall('", '\'');
	}
	for (const char *const *p = (const char *const[]){"conn", "ctr", "job", "node", "tenant", "apikey", "backup", "op", NULL}; *p; p++) {
		(void)qt_fmt(path, sizeof(path), "src/store/%s.c", *p);
		find_uses(path, "qt_word(&w, \"", '"');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_used),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nothing_else_is_used),
	};

	return cmocka_run_group_tests(tests, redis_up, redis_down);
}
