/* Execs that outlive their connections: jobs, whose first MI_KEEP_BYTES of output are held in memory that is the container's own, and
 * terminals, whose master end is held, and what they showed last. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "minit.h"

#define GRACE_MS    2000 /* between SIGTERM and SIGKILL of one that ran out of time */
#define DRAIN_READS 64	 /* grandchildren may write faster than we read */
#define PTMX_MAJOR  5
#define PTMX_MINOR  2

static struct keep {
	char key[MI_KEY_MAX]; /* "": free */
	struct mi_kept told;
	int master;	    /* of a terminal, else -1 */
	int pipe[2], mem[2]; /* stdout, stderr; of a terminal, mem[0] is a struct mi_scroll */
	uint64_t due_ms;    /* monotonic; 0: never */
	uint32_t nth;	    /* the so manieth to end, from 1 on */
	bool termed, saved; /* saved: nobody need be told of its end any more */
} keeps[MI_KEEPS_MAX];

static uint32_t n_ended; /* of all that there ever were */

static void close_one(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int mi_keep_find(const char *key)
{
	for (unsigned i = 0; i < MI_KEEPS_MAX; i++)
		if (keeps[i].key[0] && strcmp(keeps[i].key, key) == 0)
			return (int)i;
	return -1;
}

bool mi_keep_has_ended(int place)
{
	return keeps[place].told.ended != 0;
}

bool mi_keep_is_tty(int place)
{
	return keeps[place].told.tty != 0;
}

int mi_keep_oldest(void)
{
	int best = -1;

	for (unsigned i = 0; i < MI_KEEPS_MAX; i++) {
		if (!keeps[i].key[0])
			return (int)i;
		if (keeps[i].told.ended && (keeps[i].saved || keeps[i].told.tty) && (best < 0 || keeps[i].told.ended_ms < keeps[best].told.ended_ms))
			best = (int)i;
	}
	return best;
}

void mi_keep_drop(int place)
{
	struct keep *k = &keeps[place];

	for (unsigned i = 0; i < 2; i++) {
		mi_unwatch_close(&k->pipe[i]);
		close_one(&k->mem[i]);
	}
	close_one(&k->master);
	k->key[0] = '\0';
}

/* Its pages are made here, so that they count for the container, whoever writes them later. */
static int open_scroll(void)
{
	int fd = memfd_create("scroll", MFD_CLOEXEC | MFD_ALLOW_SEALING), sys;

	if (fd < 0)
		return -1;
	if (fallocate(fd, 0, 0, sizeof(struct mi_scroll)) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	sys = errno;
	(void)close(fd);
	errno = sys;
	return -1;
}

/* The device that /dev/ptmx leads to is the tenant's to change: it must be a terminal's master, and of the container's own devpts, of which
 * minit is in the mount namespace. The slave is opened by the master, not by a path. */
static bool open_terminal(struct keep *k, uint32_t size, struct mi_keep_fds *fds)
{
	struct winsize w = {.ws_row = (unsigned short)(size >> 16), .ws_col = (unsigned short)size};
	struct stat st;
	int zero = 0;

	k->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (k->master < 0 || fstat(k->master, &st) < 0)
		return false;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(PTMX_MAJOR, PTMX_MINOR)) {
		errno = ENXIO;
		return false;
	}
	if (ioctl(k->master, TIOCSPTLCK, &zero) < 0 || ioctl(k->master, TIOCSWINSZ, &w) < 0)
		return false;
	fds->in = ioctl(k->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fds->in < 0)
		return false;
	k->mem[0] = open_scroll();
	if (k->mem[0] < 0)
		return false;
	(void)fchown(fds->in, mi.uid, (gid_t)-1);
	fds->out = fds->err = fds->in;
	return true;
}

static bool open_outputs(struct keep *k, struct mi_keep_fds *fds)
{
	int *ends[2] = {&fds->out, &fds->err};

	for (unsigned i = 0; i < 2; i++) {
		int p[2];

		k->mem[i] = memfd_create("job", MFD_CLOEXEC);
		if (k->mem[i] < 0 || pipe2(p, O_CLOEXEC) < 0)
			return false;
		k->pipe[i] = p[0];
		*ends[i] = p[1];
		(void)fchown(p[1], mi.uid, mi.gid);
		if (fcntl(p[0], F_SETFL, O_NONBLOCK) < 0 ||
		    !mi_watch(p[0], MI_SRC_KEEP, (unsigned)(k - keeps) * 2 + i, 0))
			return false;
	}
	return true;
}

int mi_keep_make(const char *key, bool tty, uint32_t size, uint32_t time_ms, struct mi_keep_fds *fds)
{
	int place = mi_keep_find(key) < 0 ? mi_keep_oldest() : -1;
	struct keep *k;
	int sys;

	if (place < 0) {
		errno = mi_keep_find(key) < 0 ? EAGAIN : EEXIST;
		return -1;
	}
	k = &keeps[place];
	if (k->key[0])
		mi_keep_drop(place);
	*k = (struct keep){.master = -1, .pipe = {-1, -1}, .mem = {-1, -1}, .told = {.tty = tty, .started_ms = mi_now_ms()}};
	memcpy(k->key, key, strlen(key) + 1);
	k->due_ms = time_ms > 0 ? mi_mono_ms() + time_ms : 0;
	if (tty ? open_terminal(k, size, fds) : open_outputs(k, fds))
		return place;
	sys = errno;
	mi_keep_drop(place);
	errno = sys;
	return -1;
}

void mi_keep_started(int place, pid_t pid)
{
	keeps[place].told.pid = (uint32_t)pid;
}

/* False when there is nothing to be had at present. */
static bool take(struct keep *k, unsigned stream)
{
	uint64_t *total = stream == 0 ? &k->told.out_bytes : &k->told.err_bytes;
	char buf[16384];
	ssize_t n;

	if (k->pipe[stream] < 0)
		return false;
	n = read(k->pipe[stream], buf, sizeof(buf));
	if (n < 0)
		return errno == EINTR;
	if (n == 0) {
		mi_unwatch_close(&k->pipe[stream]);
		return false;
	}
	if (*total < MI_KEEP_BYTES) {
		size_t room = MI_KEEP_BYTES - *total;
		ssize_t put = pwrite(k->mem[stream], buf, (size_t)n < room ? (size_t)n : room, (off_t)*total);

		(void)put; /* no memory left: it is the container's, and counted */
	}
	*total += (uint64_t)n;
	return true;
}

void mi_keep_read(unsigned slot)
{
	if (slot / 2 < MI_KEEPS_MAX && keeps[slot / 2].key[0])
		(void)take(&keeps[slot / 2], slot % 2);
}

void mi_keep_ended(int place, int code, int sig)
{
	struct keep *k = &keeps[place];

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned n = 0; n < DRAIN_READS && take(k, i); n++)
			continue;
		mi_unwatch_close(&k->pipe[i]);
	}
	k->nth = ++n_ended;
	k->told.ended = 1;
	k->told.exit_code = code;
	k->told.signal = (uint32_t)sig;
	k->told.ended_ms = mi_now_ms();
	k->due_ms = 0;
}

void mi_keep_tell(int place, struct mi_kept *ret, int fds[2], unsigned *ret_n_fds)
{
	struct keep *k = &keeps[place];

	*ret = k->told;
	*ret_n_fds = 2;
	fds[0] = k->told.tty ? k->master : k->mem[0];
	fds[1] = k->told.tty ? k->mem[0] : k->mem[1];
}

uint32_t mi_keep_n_ended(void)
{
	return n_ended;
}

void mi_keep_saved(uint32_t n)
{
	for (unsigned i = 0; i < MI_KEEPS_MAX; i++)
		if (keeps[i].key[0] && keeps[i].told.ended && (int32_t)(n - keeps[i].nth) >= 0)
			keeps[i].saved = true;
}

int mi_keep_due(int most, void (*signal)(int place, int sig))
{
	uint64_t now = 0;

	for (unsigned i = 0; i < MI_KEEPS_MAX; i++) {
		struct keep *k = &keeps[i];

		if (!k->key[0] || k->due_ms == 0)
			continue;
		if (now == 0)
			now = mi_mono_ms();
		if (k->due_ms <= now) {
			k->told.timed_out = 1;
			signal((int)i, k->termed ? SIGKILL : SIGTERM);
			k->due_ms = k->termed ? 0 : now + GRACE_MS;
			k->termed = true;
		}
		if (k->due_ms > 0 && (most < 0 || k->due_ms - now < (uint64_t)most))
			most = (int)(k->due_ms - now < 1000000 ? k->due_ms - now : 1000000);
	}
	return most;
}
