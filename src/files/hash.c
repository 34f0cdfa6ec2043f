#include "hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "fdio.h"
#include "rnd.h"

#define BLOCK (256 << 10)

static EVP_MD *sha256;

int ft_hash_init(struct qt_err *e)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	return sha256 ? 0 : qt_fail(e, QT_E_INTERNAL_ERROR, "no SHA-256");
}

EVP_MD_CTX *ft_hash_new(struct qt_err *e)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (c && EVP_DigestInit_ex2(c, sha256, NULL) == 1)
		return c;
	EVP_MD_CTX_free(c);
	return (void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory"), NULL;
}

void ft_hash_end(EVP_MD_CTX *hash, char *hex)
{
	unsigned char sum[FT_SHA256 / 2] = {0};

	(void)EVP_DigestFinal_ex(hash, sum, NULL);
	qt_hex(hex, sum, sizeof(sum));
}

void ft_hash_free(EVP_MD_CTX **hash)
{
	EVP_MD_CTX_free(*hash);
}

int ft_hash_file(EVP_MD_CTX *hash, int fd, int to_fd, void (*seen)(void *arg, uint64_t at), void *arg, uint64_t *ret_size, struct qt_err *e)
{
	static char chunk[BLOCK];
	uint64_t at = 0;

	for (;;) {
		ssize_t n = pread(fd, chunk, sizeof(chunk), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qt_fail_sys(e, errno, "read what came");
		if (n == 0)
			break;
		if (to_fd >= 0 && qt_write_full(to_fd, chunk, (size_t)n, e) < 0)
			return -1;
		(void)EVP_DigestUpdate(hash, chunk, (size_t)n);
		at += (uint64_t)n;
		if (seen)
			seen(arg, at);
	}
	*ret_size = at;
	return 0;
}
