/* What a member of an archive may be: the first of the walls, and the one that gives reasons. */
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "str.h"

#define SHOWN 80

int ft_refuse(struct qt_err *e, const char *member, const char *why)
{
	char name[SHOWN + 1];
	size_t n;

	/* It goes into records and logs: nothing that is not plain ASCII. */
	for (n = 0; n < SHOWN && member && member[n]; n++)
		name[n] = member[n] >= 0x20 && member[n] < 0x7f && member[n] != '"' ? member[n] : '?';
	name[n] = '\0';
	return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive's member \"%s\" %s", name, why);
}

int ft_member_plain(char *out, const char *member, const char *name, uint32_t strip, struct qt_err *e)
{
	struct qt_err why = {0};
	char whole[FT_PATH_MAX];
	const char *p = whole;

	if (!name || !*name)
		return ft_refuse(e, member, "has no name");
	if (*name == '/')
		return ft_refuse(e, member, "has an absolute path");
	for (const char *q = name; q; q = strchr(q, '/') ? strchr(q, '/') + 1 : NULL)
		if (qt_streq(q, "..") || qt_starts(q, "../"))
			return ft_refuse(e, member, "has \"..\" in its path");
	if (ft_path(whole, name, &why) < 0)
		return ft_refuse(e, member, "has too long or too deep a path");
	for (; strip > 0 && p; strip--)
		p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL;
	(void)qt_copy(out, FT_PATH_MAX, p ? p : "");
	return 0;
}

bool ft_link_stays(const char *name, const char *target)
{
	size_t depth = 0;
	bool down = false;

	if (*target == '/' || *target == '\0')
		return false;
	for (const char *p = name; (p = strchr(p, '/')); p++)
		depth++;
	for (const char *p = target; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			if (down || depth-- == 0)
				return false;
		} else if (n > 0 && !(n == 1 && p[0] == '.')) {
			down = true;
		}
		p += n + (p[n] == '/');
	}
	return true;
}

/* --- the links that the archive makes ------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

int ft_links_add(struct ft_links *l, const char *name, struct qt_err *e)
{
	char *copy;

	if (tfind(name, &l->tree, compare))
		return 0;
	l->bytes += strlen(name) + 1;
	if (l->bytes > FT_LINKS_BYTES)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive holds too many symbolic links, or too many directories that hide others");
	copy = strdup(name);
	if (!copy || !tsearch(copy, &l->tree, compare)) {
		free(copy);
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	}
	return 0;
}

bool ft_links_above(const struct ft_links *l, const char *name)
{
	char up[FT_PATH_MAX];

	if (!l->tree)
		return false;
	(void)qt_copy(up, sizeof(up), name);
	for (char *slash = strchr(up, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (tfind(up, &l->tree, compare))
			return true;
		*slash = '/';
	}
	return false;
}

void ft_links_done(struct ft_links *l)
{
	tdestroy(l->tree, free);
	*l = (struct ft_links){0};
}

/* --- one member ----------------------------------------------------------------------------------------- */

static int type_of(struct ft_member *m, struct archive_entry *en, struct qt_err *e)
{
	m->link = archive_entry_hardlink(en);
	if (m->link) {
		m->kind = FT_M_HARD;
		return 0;
	}
	switch (archive_entry_filetype(en)) {
	case AE_IFREG:
		m->kind = FT_M_FILE;
		return 0;
	case AE_IFDIR:
		m->kind = FT_M_DIR;
		return 0;
	case AE_IFLNK:
		m->kind = FT_M_LINK;
		m->link = archive_entry_symlink(en);
		return 0;
	default:
		return ft_refuse(e, m->shown, "is a device, a fifo or a socket");
	}
}

static int check_link(struct ft_member *m, const struct ft_extract_req *req, struct qt_err *e)
{
	if (!m->link || !*m->link)
		return ft_refuse(e, m->shown, "is a link to nothing");
	if (m->kind == FT_M_LINK && req->owners == FT_O_ROOT && !ft_link_stays(m->name, m->link))
		return ft_refuse(e, m->shown, "is a link that leads out of the archive");
	if (m->kind == FT_M_LINK && strlen(m->link) >= FT_PATH_MAX)
		return ft_refuse(e, m->shown, "is a link to too long a path");
	if (m->kind != FT_M_HARD)
		return 0;
	if (ft_member_plain(m->source, m->shown, m->link, req->strip, e) < 0)
		return -1;
	return m->source[0] ? 0 : ft_refuse(e, m->shown, "is a hard link to nothing that is unpacked");
}

static int take_owner(struct ft_member *m, struct archive_entry *en, const struct ft_extract_req *req, struct qt_err *e)
{
	int64_t uid = archive_entry_uid(en), gid = archive_entry_gid(en);

	m->mode = archive_entry_perm(en) & (req->owners == FT_O_ROOT ? 0777 : 07777);
	if (req->mode > 0 && m->kind != FT_M_LINK)
		m->mode = req->mode - 1;
	if (req->owners != FT_O_ARCHIVE)
		return 0;
	if (uid < 0 || uid > FT_OWNER_MAX || gid < 0 || gid > FT_OWNER_MAX)
		return ft_refuse(e, m->shown, "has an owner that no container has");
	m->uid = (uid_t)uid;
	m->gid = (gid_t)gid;
	return 0;
}

int ft_member_check(struct ft_member *m, struct archive_entry *en, const struct ft_extract_req *req, const struct ft_limits *limits,
		    struct ft_links *links, struct qt_err *e)
{
	int64_t size = archive_entry_size_is_set(en) ? archive_entry_size(en) : 0;

	*m = (struct ft_member){.shown = archive_entry_pathname(en)};
	if (ft_member_plain(m->name, m->shown, m->shown, req->strip, e) < 0 || type_of(m, en, e) < 0 || take_owner(m, en, req, e) < 0)
		return -1;
	if (req->name.len > 0)
		(void)qt_copy(m->name, sizeof(m->name), req->name.s);
	if (size < 0 || (uint64_t)size > limits->bytes)
		return ft_refuse(e, m->shown, "is larger than this server unpacks");
	m->size = m->kind == FT_M_FILE ? (uint64_t)size : 0;
	m->mtime = archive_entry_mtime_is_set(en) ? archive_entry_mtime(en) : 0;
	m->skip = m->name[0] == '\0';
	if (m->skip)
		return 0;
	if ((m->kind == FT_M_LINK || m->kind == FT_M_HARD) && check_link(m, req, e) < 0)
		return -1;
	if (ft_links_above(links, m->name) || (m->kind == FT_M_HARD && ft_links_above(links, m->source)))
		return ft_refuse(e, m->shown, "lies below a link that the archive itself makes");
	return m->kind == FT_M_LINK ? ft_links_add(links, m->name, e) : 0;
}
