#include "blob.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "hash.h"
#include "str.h"
#include "tree.h"

int ft_blob(int root_fd, const char *digest, int fd, struct ft_blob_rep *rep, struct qt_err *e)
{
	auto_hash struct evp_md_ctx_st *hash = ft_hash_new(e);
	auto_close int to = hash ? ft_open_name(root_fd, "blob", O_WRONLY | O_CREAT | O_EXCL, 0600) : -1;
	char hex[FT_SHA256 + 1];
	struct stat st;

	if (!hash)
		return -1;
	if (to < 0)
		return ft_fail(e, errno, "keep a document");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FT_BLOB_MAX)
		(void)qt_fail(e, QT_E_ARCHIVE_REFUSED, "a document of the image is no file, or larger than %d bytes", FT_BLOB_MAX);
	else if (ft_hash_file(hash, fd, to, NULL, NULL, &rep->size, e) == 0) {
		ft_hash_end(hash, hex);
		if (qt_streq(hex, digest))
			return 0;
		(void)qt_fail(e, QT_E_ARCHIVE_REFUSED, "a document of the image is not what its digest says");
	}
	(void)unlinkat(root_fd, "blob", 0);
	return -1;
}
