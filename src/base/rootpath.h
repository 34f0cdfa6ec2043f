/* rootpath.h - the only way to open anything below a directory that somebody else writes. */
#ifndef QT_ROOTPATH_H
#define QT_ROOTPATH_H

#include <sys/types.h>

#include "err.h"

/* Open PATH as a process with the root directory ROOT_FD would: links, absolute ones too, lead where they lead inside it, never
 * out; magic links are refused. FLAGS and MODE as for open(2); O_CLOEXEC is added. A descriptor, or -1. */
int qt_open_in_root(int root_fd, const char *path, int flags, mode_t mode, struct qt_err *e);

/* Open PATH below DIR_FD: no link of any kind, no "..", no other mount. For trees that only we should have written. */
int qt_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct qt_err *e);

/* Does this kernel have openat2(2)? Programs that need it refuse to start without. */
bool qt_have_openat2(void);

#endif
