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

enum { WORKER = 1, AGENT = 2, BOTH = 3, DNS = 4, ALL = 7, STREAM = 8 };

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
	{BOTH, "HSET quilt:node:node-1:gpus nvidia0 ten_1/ctr_1"},
	{BOTH, "SREM quilt:{ten_1}:state:running ctr_1"},
	{BOTH, "SMEMBERS quilt:node:node-1:ctrs"},
	{BOTH, "SET quilt:{ten_1}:gone:ctr_1 1 EX 60"},
	{BOTH, "DEL quilt:{ten_1}:ctr:ctr_1"},
	{BOTH, "EXPIRE quilt:{ten_1}:op:op_1 60"},
	{BOTH, "INCR quilt:{ten_1}:fence"},
	{BOTH, "XADD quilt:{ten_1}:events * kind x"},
	{BOTH, "XREVRANGE quilt:{ten_1}:events + - COUNT 10"},
	{BOTH, "XRANGE quilt:{ten_1}:oplog:op_1 - + COUNT 10"},
	{BOTH, "XADD quilt:node:node-1:ops * tenant ten_1"},
	{BOTH, "ZADD quilt:node:node-1:due 1 ten_1/op_1"},
	{BOTH, "ZREM quilt:node:node-1:due ten_1/op_1"},
	{BOTH, "ZADD quilt:node:node-1:wait:ten_1 1 op_1"},
	{BOTH, "ZPOPMIN quilt:node:node-1:wait:ten_1"},
	{BOTH, "ZADD quilt:node:node-1:ahead:ten_1 1 op_1"},
	{BOTH, "ZCARD quilt:node:node-1:ahead:ten_1"},
	{BOTH, "ZREM quilt:node:node-1:ahead:ten_1 op_1"},
	{BOTH, "PUBLISH quilt:events x"},
	{STREAM, "PING"},
	{STREAM, "FCALL_RO qt_ctr_get 1 quilt:{ten_1}:ctrs"},
	{STREAM, "FCALL qt_auth_limited 1 quilt:rate:x"},
	{STREAM, "HGETALL quilt:{ten_1}:ctr:ctr_1"},
	{STREAM, "HMGET quilt:apikey:x revoked"},
	{STREAM, "HSET quilt:rate:x tokens 1"},
	{STREAM, "XRANGE quilt:{ten_1}:events - +"},
	{STREAM, "XREVRANGE quilt:{ten_1}:events + -"},
	{STREAM, "SUBSCRIBE quilt:events"},
	{STREAM, "FCALL qt_session_touch 1 quilt:{ten_1}:sessions"},
	{STREAM, "HSET quilt:{ten_1}:session:sess_1 cols 80"},
	{STREAM, "HGET quilt:{ten_1}:session:sess_1 node"},
	{STREAM, "DEL quilt:{ten_1}:session:sess_1"},
	{STREAM, "ZADD quilt:{ten_1}:sessions 1 sess_1"},
	{STREAM, "ZREM quilt:{ten_1}:sessions sess_1"},
	{STREAM, "ZCARD quilt:{ten_1}:sessions"},
	{STREAM, "ZRANGE quilt:{ten_1}:sessions 0 -1"},
	{STREAM, "ZADD quilt:node:node-1:sessions 1 ten_1/sess_1"},
	{STREAM, "ZREM quilt:node:node-1:sessions ten_1/sess_1"},
	{STREAM, "ZRANGEBYSCORE quilt:node:node-1:sessions 0 1"},
	{BOTH, "ZADD quilt:node:node-1:sessions 1 ten_1/sess_1"},
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
	{BOTH | STREAM, "EVAL x 0"},
	{BOTH | STREAM, "EVALSHA x 0"},
	{BOTH | STREAM, "SCRIPT FLUSH"},
	{BOTH | STREAM, "FUNCTION LOAD x"},
	{BOTH | STREAM, "FUNCTION FLUSH"},
	{BOTH | STREAM, "FUNCTION LIST"},
	{BOTH | STREAM, "CONFIG GET *"},
	{BOTH | STREAM, "CONFIG SET dir /"},
	{BOTH | STREAM, "KEYS *"},
	{BOTH | STREAM, "SCAN 0"},
	{BOTH | STREAM, "RANDOMKEY"},
	{BOTH | STREAM, "FLUSHALL"},
	{BOTH | STREAM, "FLUSHDB"},
	{BOTH | STREAM, "SWAPDB 0 1"},
	{BOTH | STREAM, "RESTORE quilt:{ten_1}:x 0 x"},
	{BOTH | STREAM, "DUMP quilt:{ten_1}:x"},
	{BOTH | STREAM, "MIGRATE h 1 k 0 1"},
	{BOTH | STREAM, "SORT quilt:{ten_1}:x"},
	{BOTH | STREAM, "DEBUG SLEEP 1"},
	{BOTH | STREAM, "ACL LIST"},
	{BOTH | STREAM, "MONITOR"},
	{BOTH | STREAM, "SAVE"},
	{BOTH | STREAM, "BGREWRITEAOF"},
	{BOTH | STREAM, "SHUTDOWN"},
	{BOTH | STREAM, "REPLICAOF h 1"},
	{BOTH | STREAM, "MODULE LIST"},
	{BOTH | STREAM, "CLIENT LIST"},
	{BOTH | STREAM, "CLIENT KILL ID 1"},
	{BOTH | STREAM, "INFO"},
	{BOTH | STREAM, "SUBSCRIBE x"},
	{BOTH | STREAM, "PUBLISH x y"},
	{BOTH | STREAM, "GET other"},
	{BOTH | STREAM, "HGETALL other"},
	{BOTH | STREAM, "HSET other f v"},
	{BOTH | STREAM, "FCALL qt_event 1 other"},
	{BOTH | STREAM, "XGROUP DESTROY quilt:node:node-1:ops agent"},
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
	{BOTH | DNS, "SUBSCRIBE quilt:events"},
	{DNS | STREAM, "PUBLISH quilt:events x"},
	{STREAM, "HSET quilt:{ten_1}:ctr:ctr_1 state running"},
	{STREAM, "DEL quilt:{ten_1}:ctr:ctr_1"},
	{STREAM, "XADD quilt:{ten_1}:events * kind x"},
	{STREAM, "HSET quilt:apikey:x revoked 0"},
	{STREAM, "FCALL qt_ctr_reserve 1 quilt:{ten_1}:ctrs"},
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

static const struct {
	int who;
	const char *user;
} users[] = {{WORKER, "quilt-worker"}, {AGENT, "quilt-agent"}, {DNS, "quilt-dns"}, {STREAM, "quilt-stream"}};

static void test_used(void **state)
{
	(void)state;
	for (size_t i = 0; i < QT_LEN(used); i++)
		for (size_t u = 0; u < QT_LEN(users); u++)
			if (used[i].who & users[u].who)
				dry_run(users[u].user, used[i].command, true);
}

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < QT_LEN(refused); i++)
		for (size_t u = 0; u < QT_LEN(users); u++)
			if ((refused[i].who & BOTH ? refused[i].who | DNS : refused[i].who) & users[u].who)
				dry_run(users[u].user, refused[i].command, false);
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
	for (const char *const *p = (const char *const[]){"conn", "ctr", "heard", "job", "node", "tenant", "apikey", "backup", "op", NULL}; *p; p++) {
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
