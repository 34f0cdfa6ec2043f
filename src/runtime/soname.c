#include <elf.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "soname.h"

#define HEADERS_MAX 64
#define DYNAMIC_MAX 512

static bool get(int fd, void *to, size_t size, uint64_t at)
{
	return at <= INT64_MAX - size && pread(fd, to, size, (off_t)at) == (ssize_t)size;
}

/* Where the file has what is loaded to ADDR. */
static bool place(uint64_t *ret, const Elf64_Phdr *p, unsigned n, uint64_t addr)
{
	for (unsigned i = 0; i < n; i++)
		if (p[i].p_type == PT_LOAD && addr >= p[i].p_vaddr && addr - p[i].p_vaddr < p[i].p_filesz) {
			*ret = p[i].p_offset + (addr - p[i].p_vaddr);
			return true;
		}
	return false;
}

bool rt_soname(char *ret, size_t size, int fd)
{
	Elf64_Phdr p[HEADERS_MAX];
	Elf64_Dyn d[DYNAMIC_MAX];
	uint64_t strings = 0, name = 0, at;
	bool named = false;
	unsigned n = 0;
	Elf64_Ehdr h;
	ssize_t len;

	if (!get(fd, &h, sizeof(h), 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
	    h.e_phentsize != sizeof(p[0]) || h.e_phnum > HEADERS_MAX || !get(fd, p, h.e_phnum * sizeof(p[0]), h.e_phoff))
		return false;
	for (unsigned i = 0; i < h.e_phnum && n == 0; i++)
		if (p[i].p_type == PT_DYNAMIC) {
			n = p[i].p_filesz / sizeof(d[0]) < DYNAMIC_MAX ? (unsigned)(p[i].p_filesz / sizeof(d[0])) : DYNAMIC_MAX;
			if (!get(fd, d, n * sizeof(d[0]), p[i].p_offset))
				return false;
		}
	for (unsigned i = 0; i < n && d[i].d_tag != DT_NULL; i++) {
		if (d[i].d_tag == DT_STRTAB)
			strings = d[i].d_un.d_ptr;
		if (d[i].d_tag == DT_SONAME) {
			name = d[i].d_un.d_val;
			named = true;
		}
	}
	if (!named || name > UINT32_MAX || !place(&at, p, h.e_phnum, strings + name) || at > INT64_MAX)
		return false;
	len = pread(fd, ret, size, (off_t)at);
	if (len <= 0 || !memchr(ret, '\0', (size_t)len))
		return false;
	for (const char *c = ret; *c; c++)
		if (*c <= 0x20 || *c == 0x7f || *c == '/')
			return false;
	return ret[0] != '\0' && ret[0] != '.';
}
