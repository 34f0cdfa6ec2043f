#include "redis.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "rnd.h"
#include "str.h"

#define DEADLINE_MS 60000

static char dir[64];
static pid_t pid = -1;
static redisContext *ctx;

static const struct {
	const char *user, *mark;
} users[] = {{"quilt-admin", "@ADMIN@"}, {"quilt-worker", "@WORKER@"}, {"quilt-agent", "@AGENT@"}, {"quilt-dns", "@DNS@"}, {"quilt-stream", "@STREAM@"}};

const char *redis_dir(void)
{
	return dir;
}

pid_t redis_pid(void)
{
	return pid;
}

static void path_of(char *out, const char *name)
{
	assert_true(qt_fmt(out, 128, "%s/%s", dir, name));
}

static void put(const char *name, const char *text)
{
	auto_close int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct qt_err e = {0};

	if (qt_replace_file(dir_fd, name, text, strlen(text), 0600, false, &e) < 0)
		fail_msg("%s", e.msg);
}

/* TEXT with every FROM replaced; the old text is freed. */
static char *replace(char *text, const char *from, const char *to)
{
	struct qt_buf *b = &(struct qt_buf)QT_BUF(1 << 16);
	struct qt_err e = {0};
	char *p = text, *hit;

	for (; (hit = strstr(p, from)); p = hit + strlen(from)) {
		assert_int_equal(qt_buf_add(b, p, (size_t)(hit - p), &e), 0);
		assert_int_equal(qt_buf_str(b, to, &e), 0);
	}
	assert_int_equal(qt_buf_str(b, p, &e), 0);
	free(text);
	return b->data;
}

static char *template(const char *name)
{
	char *text = malloc(65536), path[512];
	struct qt_err e = {0};

	(void)snprintf(path, sizeof(path), "%s/contrib/redis/%s", QT_SRCDIR, name);
	if (qt_read_file(AT_FDCWD, path, text, 65536, &e) < 0)
		fail_msg("%s", e.msg);
	return text;
}

/* The very files that scripts/stack makes its own from. */
static void write_files(void)
{
	char *conf = template("redis.conf.in"), *acl = template("users.acl.in");

	conf = replace(replace(replace(conf, "@RUN@", dir), "@ETC@", dir), "@STATE@/redis", dir);
	for (size_t i = 0; i < QT_LEN(users); i++) {
		char password[33], secret[64], file[32], sha[65];
		unsigned char r[16], md[32];

		qt_rnd(r, sizeof(r));
		qt_hex(password, r, sizeof(r));
		assert_int_equal(EVP_Digest(password, 32, md, NULL, EVP_sha256(), NULL), 1);
		qt_hex(sha, md, sizeof(md));
		acl = replace(acl, users[i].mark, sha);
		(void)qt_fmt(secret, sizeof(secret), "%s:%s\n", users[i].user, password);
		(void)qt_fmt(file, sizeof(file), "%s.secret", users[i].user);
		put(file, secret);
	}
	put("redis.conf", conf);
	put("redis-users.acl", acl);
	free(conf);
	free(acl);
}

struct qt_conf conf_as(const char *user)
{
	struct qt_conf c;

	qt_conf_defaults(&c);
	(void)qt_fmt(c.redis_socket, sizeof(c.redis_socket), "%s/redis.sock", dir);
	(void)qt_fmt(c.redis_secret_file, sizeof(c.redis_secret_file), "%s/%s.secret", dir, user);
	return c;
}

struct qt_store *store_as(const char *user)
{
	struct qt_conf c = conf_as(user);
	struct qt_store *s = NULL;
	struct qt_err e = {0};

	assert_int_equal(qt_store_new(&s, &c, &e), 0);
	return s;
}

static void spawn(void)
{
	char conf[128], log[128];
	pid_t parent = getpid();

	path_of(conf, "redis.conf");
	path_of(log, "log");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(126);
		(void)execlp("redis-server", "redis-server", conf, (char *)NULL);
		_exit(127);
	}
}

void redis_start(void)
{
	int64_t deadline = qt_mono_ms() + DEADLINE_MS;
	struct qt_store *s;

	spawn();
	s = store_as("quilt-admin");
	for (;;) {
		struct qt_err e = {0};

		if (qt_store_ping(s, &e) == 0)
			break;
		if (qt_mono_ms() > deadline || waitpid(pid, NULL, WNOHANG) != 0)
			fail_msg("redis-server does not come up: %s; see %s/log", e.msg, dir);
		(void)usleep(2000);
	}
	qt_store_free(s);
}

void redis_kill(void)
{
	if (ctx)
		redisFree(ctx);
	ctx = NULL;
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	pid = -1;
}

int redis_up(void **state)
{
	struct qt_store *s;
	struct qt_err e = {0};

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	/* In memory, if it can be had: Redis waits for each write to reach the disk, and a disk that others use may take longer than the
	 * two seconds that the store waits for Redis. */
	(void)qt_copy(dir, sizeof(dir), access("/dev/shm", W_OK) == 0 ? "/dev/shm/qt-store-XXXXXX" : "/tmp/qt-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	write_files();
	redis_start();
	s = store_as("quilt-admin");
	if (qt_store_load_functions(s, &e) < 0)
		fail_msg("%s", e.msg);
	qt_store_free(s);
	return 0;
}

static int rm(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int redis_down(void **state)
{
	(void)state;
	redis_kill();
	(void)nftw(dir, rm, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static redisReply *command(const char *line)
{
	char buf[1024], secret[64], path[128], *word, *save = NULL;
	const char *argv[32];
	struct qt_err e = {0};
	int argc = 0;
	redisReply *r;

	if (!ctx) {
		path_of(path, "redis.sock");
		ctx = redisConnectUnix(path);
		assert_non_null(ctx);
		path_of(path, "quilt-admin.secret");
		assert_true(qt_read_file(AT_FDCWD, path, secret, sizeof(secret), &e) > 0);
		secret[strcspn(secret, "\n")] = '\0';
		r = redisCommand(ctx, "AUTH quilt-admin %s", strchr(secret, ':') + 1);
		assert_non_null(r);
		assert_int_equal(r->type, REDIS_REPLY_STATUS);
		freeReplyObject(r);
	}
	assert_true(qt_copy(buf, sizeof(buf), line));
	for (word = strtok_r(buf, " ", &save); word && argc < 32; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	r = redisCommandArgv(ctx, argc, argv, NULL);
	if (!r)
		fail_msg("%s: %s", line, ctx->errstr);
	return r;
}

redisReply *admin(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return command(line);
}

long long admin_int(const char *fmt, ...)
{
	char line[1024];
	redisReply *r;
	long long n;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	r = command(line);
	if (r->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", line, r->str);
	n = r->type == REDIS_REPLY_INTEGER ? r->integer : (long long)r->elements;
	freeReplyObject(r);
	return n;
}
