#include "scroll.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "minit/proto.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* Only a file in memory has seals: it never blocks us, and has all of its bytes. */
static bool fits(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && !(seals & F_SEAL_WRITE) && fstat(fd, &st) == 0 && st.st_size == sizeof(struct mi_scroll);
}

int sq_scroll_open(struct sq_scroll *s, int fd, struct qt_err *e)
{
	s->fd = fd;
	s->total = 0;
	if (fd >= 0 && fits(fd)) {
		if (pread(fd, &s->total, sizeof(s->total), offsetof(struct mi_scroll, total)) != (ssize_t)sizeof(s->total))
			s->total = 0;
		return 0;
	}
	qt_reset_fd(&s->fd, memfd_create("scroll", MFD_CLOEXEC));
	if (s->fd < 0 || ftruncate(s->fd, sizeof(struct mi_scroll)) < 0)
		return qt_fail_sys(e, errno, "make room for what a terminal shows");
	return 0;
}

void sq_scroll_done(struct sq_scroll *s)
{
	qt_reset_fd(&s->fd, -1);
}

/* The bytes first: whoever comes after our death reads what the number says. */
void sq_scroll_add(struct sq_scroll *s, const char *data, size_t len)
{
	uint64_t total = s->total + len;

	if (len > MI_SCROLL_BYTES) {
		data += len - MI_SCROLL_BYTES;
		len = MI_SCROLL_BYTES;
	}
	for (size_t at = (size_t)((total - len) % MI_SCROLL_BYTES), part; len > 0; data += part, len -= part, at = 0) {
		part = MI_SCROLL_BYTES - at < len ? MI_SCROLL_BYTES - at : len;
		if (pwrite(s->fd, data, part, (off_t)(offsetof(struct mi_scroll, ring) + at)) != (ssize_t)part)
			return;
	}
	if (pwrite(s->fd, &total, sizeof(total), offsetof(struct mi_scroll, total)) == (ssize_t)sizeof(total))
		s->total = total;
}

struct sq_blob *sq_scroll_blob(const struct sq_scroll *s)
{
	size_t len = s->total < MI_SCROLL_BYTES ? (size_t)s->total : MI_SCROLL_BYTES, at = (size_t)((s->total - len) % MI_SCROLL_BYTES), part;
	struct sq_blob *b = len > 0 ? sq_blob_new(NULL, len) : NULL;

	for (size_t done = 0; b && done < len; done += part, at = 0) {
		part = MI_SCROLL_BYTES - at < len - done ? MI_SCROLL_BYTES - at : len - done;
		if (pread(s->fd, b->data + done, part, (off_t)(offsetof(struct mi_scroll, ring) + at)) != (ssize_t)part) {
			sq_blob_unref(b);
			return NULL;
		}
	}
	return b;
}
