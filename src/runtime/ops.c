#include "cleanup.h"
#include "ops.h"
#include "str.h"

/* Everything this process will do for anybody. A reviewer reads this first. What a row does not mention is zero, and zero
 * refuses: RT_NONE and RT_EVENT have no row. `hostile` says what a worker could do with it that is wholly in a stranger's hands, and why
 * that is acceptable. All workers act for all tenants: telling tenants apart is their work, not ours. */
/* clang-format off */
static const struct rt_op_def ops[RT_OP_COUNT] = {
	[RT_HELLO] = {.roles = RT_ROLE_ALL | RT_ROLE_DNS | RT_ROLE_STREAM, .states = RT_S_NONE, .budget_ms = 100, .fn = rt_op_hello,
		.uses = "nothing",
		.hostile = "It learns this program's version and the node's name, which the API shows anyway."},
	[RT_INFO] = {.roles = RT_ROLE_ALL | RT_ROLE_DNS, .states = RT_S_NONE, .budget_ms = 100, .fn = rt_op_info,
		.uses = "nothing",
		.hostile = "It learns how many containers there are, and the size of the machine: the API shows it anyway."},
	[RT_CREATE] = {.roles = RT_ROLE_ALL, .states = RT_S_NONE | RT_S_CREATED | RT_S_RUNNING | RT_S_MAKING, .flags = RT_MUTATES, .budget_ms = 8000, .fn = rt_op_create,
		.uses = "SYS_ADMIN (namespaces, mounts), NET_ADMIN (link, address, filter), SETUID, SETGID, SETPCAP, SYS_RESOURCE, KILL, CHOWN, FOWNER, DAC_OVERRIDE",
		.hostile = "It can fill the node with containers up to max_containers and node_memory_mb, and run in them what it likes: "
			   "that is what a worker is for. It names an image and ids; no path, no uid, no capability, no mount and no interface "
			   "comes from the message. Of devices it names GPUs by their CDI names, and gets those that nobody has: which nodes and files that means, "
			   "the specifications say, which root wrote. Memory, CPU and processes are checked against the settings here once more. A layer to copy, and volumes, must be of the tenant that it names. "
			   "Asking again for a container that runs tells its address to who knows id and tenant, which GET does too."},
	[RT_START] = {.roles = RT_ROLE_ALL, .states = RT_S_CREATED | RT_S_EXITED, .flags = RT_MUTATES, .budget_ms = 8000, .fn = rt_op_start,
		.uses = "the same as create",
		.hostile = "It can start another tenant's container with a command of its own choice, and so read its files: workers can, by design. "
			   "Nothing that it says reaches beyond the container."},
	[RT_STOP] = {.roles = RT_ROLE_ALL, .states = RT_S_RUNNING | RT_S_ENDING, .flags = RT_MUTATES, .budget_ms = 15000, .fn = rt_op_stop,
		.uses = "KILL (through the cgroup); DAC_OVERRIDE",
		.hostile = "It can stop every container. The time-out is bounded by the settings' maximum, and held by a timer, not by the loop."},
	[RT_KILL] = {.roles = RT_ROLE_ALL, .states = RT_S_RUNNING | RT_S_ENDING, .flags = RT_MUTATES, .budget_ms = 15000, .fn = rt_op_kill,
		.uses = "KILL (through the cgroup); DAC_OVERRIDE",
		.hostile = "It can kill every container, and nothing else: what is killed is the members of a cgroup that this program made, not a pid out of the message."},
	[RT_DELETE] = {.roles = RT_ROLE_ALL, .states = RT_S_ANY | RT_S_MAKING, .flags = RT_MUTATES, .budget_ms = 15000, .fn = rt_op_delete,
		.uses = "KILL, NET_ADMIN, DAC_OVERRIDE, FOWNER",
		.hostile = "It can delete every container with its data: the worst that a worker can do, and what backups are for. What is removed is "
			   "named by an id of the journal, renamed within the pool, and emptied without following a link."},
	[RT_GET] = {.roles = RT_ROLE_ALL, .states = RT_S_ANY, .budget_ms = 100, .fn = rt_op_get,
		.uses = "nothing",
		.hostile = "It learns the record of every container whose id it knows. The record is what workers wrote."},
	[RT_LIST] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .budget_ms = 100, .fn = rt_op_list,
		.uses = "nothing",
		.hostile = "Not for workers: they get ids from Redis, tenant by tenant. The agent compares all with Redis."},
	[RT_RECORD] = {.roles = RT_ROLE_ALL, .states = RT_S_ANY, .flags = RT_MUTATES, .budget_ms = 1000, .fn = rt_op_record,
		.uses = "DAC_OVERRIDE",
		.hostile = "It can replace the record (name, labels, environment) of every container: bytes of bounded length, never looked into here."},
	[RT_CONNECT] = {.roles = RT_ROLE_ALL | RT_ROLE_STREAM, .states = RT_S_RUNNING | RT_S_ENDING, .budget_ms = 100, .fn = rt_op_connect,
		.uses = "DAC_OVERRIDE",
		.hostile = "It gets a connection over which it runs programs inside the container, with the container's ids, filter and limits, or stops it. "
			   "The init obeys whoever is outside of the container, so the descriptor is the permission; it leads to one container only."},
	[RT_LOGS] = {.roles = RT_ROLE_ALL | RT_ROLE_STREAM, .states = RT_S_ANY, .budget_ms = 100, .fn = rt_op_logs,
		.uses = "DAC_OVERRIDE",
		.hostile = "It can read the logs of every container. The descriptors are read only, and the files' mode keeps them from being opened anew for writing."},
	/* Longer than the init is waited for (PING_MS), whose silence is an answer; shorter than the workers wait (CHECK_BUDGET_MS). */
	[RT_CHECK] = {.roles = RT_ROLE_ALL, .states = RT_S_ANY, .budget_ms = 6000, .fn = rt_op_check,
		.uses = "SYS_PTRACE (/proc/PID/root, /proc/PID/ns), SYS_ADMIN (setns into the network namespace and back)",
		.hostile = "It learns whether a container is well. Paths looked at in the container come from the image's own file, and are resolved inside the container's root. "
			   "An init that does not answer costs a timer."},
	[RT_STATS] = {.roles = RT_ROLE_ALL | RT_ROLE_STREAM, .states = RT_S_ANY, .budget_ms = 200, .fn = rt_op_stats,
		.uses = "nothing",
		.hostile = "It learns what every container uses."},
	[RT_IMAGES] = {.roles = RT_ROLE_ALL, .states = RT_S_NONE, .budget_ms = 500, .fn = rt_op_images,
		.uses = "DAC_OVERRIDE",
		.hostile = "It learns the names and digests of the images. They are for all tenants."},
	[RT_IMAGE_FILE] = {.roles = RT_ROLE_API | RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .budget_ms = 200, .fn = rt_op_image_file,
		.uses = "DAC_OVERRIDE",
		.hostile = "It can read what lies below one directory of a managed image, as every tenant can in a container of it, and the manifest and configuration of any "
			   "image: the API shows them to the image's tenant. No link is followed, and the file is a regular one, opened for reading."},
	[RT_GPUS] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .budget_ms = 500, .fn = rt_op_gpus,
		.uses = "DAC_OVERRIDE (reading CDI specifications that changed)",
		.hostile = "Not for workers: as list. The agent writes into Redis which GPUs there are."},
	[RT_FILES] = {.roles = RT_ROLE_ALL, .states = RT_S_NONE | RT_S_RUNNING, .flags = RT_MUTATES, .budget_ms = 200, .fn = rt_op_files,
		.uses = "SYS_ADMIN (namespaces, mounts), SYS_PTRACE (/proc/PID/ns), SETUID, SETGID; DAC_OVERRIDE",
		.hostile = "It can read and write all files of every volume and running container: workers can, by design. The process that does it has an id map, "
			   "a root directory and two capabilities of the tree alone, no network, and a filter without exec and sockets; so have archives that it "
			   "unpacks. 64 of them at most, 8 on one tree; each ends with its socket. The descriptor that came is only handed on."},
	[RT_IMAGE_BEGIN] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .flags = RT_MUTATES, .budget_ms = 1000, .fn = rt_op_image_begin,
		.uses = "SYS_ADMIN (subvolumes), DAC_OVERRIDE",
		.hostile = "Not for workers. A hostile agent can say that an image of any tenant stands on layers that other tenants pulled, if it knows their digests: it is "
			   "the agent that makes sure that a registry showed this tenant each of them. What is begun and not finished goes with the process that began it, or after two hours."},
	[RT_IMAGE_COMMIT] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .flags = RT_MUTATES, .budget_ms = 1000, .fn = rt_op_image_commit,
		.uses = "DAC_OVERRIDE",
		.hostile = "Not for workers. The record is opaque. An image whose layers and documents are not all there is refused."},
	[RT_LAYER_BEGIN] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .flags = RT_MUTATES, .budget_ms = 500, .fn = rt_op_layer_begin,
		.uses = "SYS_ADMIN (namespaces, mounts), SETUID, SETGID; DAC_OVERRIDE",
		.hostile = "Not for workers. A hostile agent can have what it likes unpacked as the layer of a digest that is not there yet, and so give every tenant that pulls "
			   "that layer later something else: the blob's digest is compared by the process that unpacks, but the agent is who talks to it. What is unpacked has "
			   "no devices, and no more power over this host than any image."},
	[RT_LAYER_COMMIT] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .flags = RT_MUTATES, .budget_ms = 1000, .fn = rt_op_layer_commit,
		.uses = "SYS_ADMIN (trusted attributes), DAC_OVERRIDE (in a job)",
		.hostile = "Not for workers. The list of directories that hide what is below them comes from the process that unpacked: each is opened below the layer, without "
			   "following links, and gets one attribute that says so; 16 MiB of names at most."},
	[RT_LAYER_TAKE] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_CREATED | RT_S_EXITED, .flags = RT_MUTATES, .budget_ms = 8000, .fn = rt_op_layer_take,
		.uses = "SYS_ADMIN (subvolumes, trusted attributes), DAC_OVERRIDE, CHOWN, FOWNER, FSETID, SETFCAP",
		.hostile = "Not for workers. A hostile agent can copy what any container that does not run has written into an image of the same tenant, as by a snapshot. The "
			   "layer's name is made of the image's id, and no other is taken: what a container wrote never stands under a registry's digest."},
	[RT_SNAPSHOT] = {.roles = RT_ROLE_ALL, .states = RT_S_CREATED | RT_S_RUNNING | RT_S_EXITED, .flags = RT_MUTATES, .budget_ms = 8000, .fn = rt_op_snapshot,
		.uses = "SYS_ADMIN (subvolumes, trusted attributes), DAC_OVERRIDE, CHOWN, FOWNER, FSETID, SETFCAP, KILL (through the freezer)",
		.hostile = "It can copy every container's files for the tenant whose container it is, until the pool is full but for a reserve, and have the container "
			   "stand still meanwhile where the storage driver copies file by file. Copies are made by jobs, four at once, each ended after ten minutes; "
			   "a container that was frozen is thawed whatever becomes of the job. Trees are named by ids; no link is followed."},
	[RT_OBJ_GET] = {.roles = RT_ROLE_ALL, .states = RT_S_NONE, .budget_ms = 8000, .fn = rt_op_obj_get,
		.uses = "DAC_OVERRIDE (counting, in a job)",
		.hostile = "It learns the record and the size of every snapshot and volume whose id it knows. Counting takes at most two seconds of a job, four at once."},
	[RT_OBJ_LIST] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .budget_ms = 100, .fn = rt_op_obj_list,
		.uses = "nothing",
		.hostile = "Not for workers: as list."},
	[RT_OBJ_RECORD] = {.roles = RT_ROLE_ALL, .states = RT_S_NONE, .flags = RT_MUTATES, .budget_ms = 1000, .fn = rt_op_obj_record,
		.uses = "DAC_OVERRIDE",
		.hostile = "As record: bytes of bounded length, never looked into here."},
	[RT_OBJ_DELETE] = {.roles = RT_ROLE_ALL, .states = RT_S_NONE, .flags = RT_MUTATES, .budget_ms = 15000, .fn = rt_op_obj_delete,
		.uses = "SYS_ADMIN (subvolumes), DAC_OVERRIDE, FOWNER",
		.hostile = "It can delete every snapshot, every volume that no container is running with, and every image that nothing stands on: as delete."},
	[RT_VOL_MAKE] = {.roles = RT_ROLE_ALL, .states = RT_S_NONE, .flags = RT_MUTATES, .budget_ms = 8000, .fn = rt_op_vol_make,
		.uses = "SYS_ADMIN (subvolumes, quotas, trusted attributes), DAC_OVERRIDE, CHOWN, FOWNER, FSETID, SETFCAP",
		.hostile = "It can make volumes until the pool is full but for a reserve: quotas of tenants are kept in Redis. It can ask for a volume without a "
			   "bound of its own, and for a copy of a snapshot of the tenant that it names."},
	[RT_PS] = {.roles = RT_ROLE_ALL, .states = RT_S_RUNNING, .budget_ms = 1000, .fn = rt_op_ps,
		.uses = "SYS_PTRACE (/proc/PID/ns of processes in the container's user namespace)",
		.hostile = "It sees the command lines of every container's processes, as an exec of ps there would show them. Only members of the container's control "
			   "group that are in its pid namespace are shown; how many there are is bounded by pids_limit."},
	[RT_SIGNAL] = {.roles = RT_ROLE_ALL, .states = RT_S_RUNNING, .flags = RT_MUTATES, .budget_ms = 1000, .fn = rt_op_signal,
		.uses = "KILL, SYS_PTRACE",
		.hostile = "It can signal every process of every container but the init, as an exec there could. The number is one of the container's own; it is found among "
			   "the members of the control group, and held by a pidfd while it is looked at, so that no process outside can be meant."},
	[RT_NET] = {.roles = RT_ROLE_ALL, .states = RT_S_ANY, .budget_ms = 500, .fn = rt_op_net,
		.uses = "SYS_PTRACE (/proc/PID/ns), SYS_ADMIN (setns into the network namespace and back), NET_ADMIN (reading the filter)",
		.hostile = "It learns the address, the link's name and the routes of every container. What is read of a namespace is bounded, whoever filled it."},
	[RT_NET_MEND] = {.roles = RT_ROLE_ALL, .states = RT_S_RUNNING, .flags = RT_MUTATES, .budget_ms = 2000, .fn = rt_op_net_mend,
		.uses = "as net, and NET_ADMIN (link, address, route, filter)",
		.hostile = "It can have a container's network put back as the journal says it should be. Nothing of it comes from the message."},
	[RT_ROUTE] = {.roles = RT_ROLE_ALL, .states = RT_S_RUNNING, .flags = RT_MUTATES, .budget_ms = 500, .fn = rt_op_route,
		.uses = "SYS_PTRACE (/proc/PID/ns), SYS_ADMIN (setns and back), NET_ADMIN (the route)",
		.hostile = "It can set 32 routes in every container, all of them by the gateway, where its packets go anyway: what may pass is for the host's filter "
			   "to say, which is not touched."},
	[RT_ADDRESS] = {.roles = RT_ROLE_ALL, .states = RT_S_CREATED | RT_S_EXITED, .flags = RT_MUTATES, .budget_ms = 1000, .fn = rt_op_address,
		.uses = "DAC_OVERRIDE (the journal)",
		.hostile = "It can give containers that do not run other addresses of this node's subnet, each to one container only, and so use up none."},
	[RT_DNS] = {.roles = RT_ROLE_DNS | RT_ROLE_ADMIN, .states = RT_S_NONE, .budget_ms = 100, .fn = rt_op_dns,
		.uses = "NET_BIND_SERVICE (port 53 at the gateway's address)",
		.hostile = "Only for the resolver's user. Who has these sockets answers the containers' questions for names, as it likes; the packet filter says "
			   "whose questions come in, and their source addresses are true."},
	[RT_WATCH] = {.roles = RT_ROLE_AGENT | RT_ROLE_ADMIN, .states = RT_S_NONE, .budget_ms = 100, .fn = rt_op_watch,
		.uses = "nothing",
		.hostile = "Not for workers. A watcher that does not read is closed when its bounded queue is full."},
};
/* clang-format on */

unsigned rt_admit_state(const struct rt_ctr *c)
{
	if (!c)
		return RT_S_NONE;
	if (c->phase == RT_PH_MAKING)
		return RT_S_MAKING;
	if (c->ending)
		return RT_S_ENDING;
	switch (c->state) {
	case RT_ST_CREATED:
		return RT_S_CREATED;
	case RT_ST_RUNNING:
		return RT_S_RUNNING;
	case RT_ST_EXITED:
		return RT_S_EXITED;
	case RT_ST_NONE:
	case RT_ST_COUNT:
		break;
	}
	return 0; /* in no row */
}

static const char *state_word(unsigned state)
{
	switch (state) {
	case RT_S_CREATED:
	case RT_S_MAKING:
		return "created";
	case RT_S_RUNNING:
	case RT_S_ENDING:
		return "running";
	default:
		return "exited";
	}
}

const struct rt_op_def *rt_admit(unsigned role, uint32_t op, unsigned state, size_t n_fds, struct qt_err *e)
{
	const struct rt_op_def *d;

	if (op >= RT_OP_COUNT || !ops[op].fn)
		return (void)qt_fail(e, QT_E_BAD_REQUEST, "unknown operation %u", op), NULL;
	d = &ops[op];
	if (!(d->roles & role))
		return (void)qt_fail(e, QT_E_FORBIDDEN, "%s: not for this peer", rt_shapes[op].name), NULL;
	if (n_fds != rt_shapes[op].fds_in)
		return (void)qt_fail(e, QT_E_BAD_REQUEST, "%s: wrong number of descriptors", rt_shapes[op].name), NULL;
	if (!(d->states & state)) {
		if (state == RT_S_NONE)
			return (void)qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container"), NULL;
		(void)qt_fail(e, QT_E_INVALID_STATE, "%s: the container is %s", rt_shapes[op].name, state_word(state));
		(void)qt_copy(e->state, sizeof(e->state), state_word(state));
		return NULL;
	}
	return d;
}

/* --- what is printed of the tables --------------------------------------------------------------------- */

static const struct {
	unsigned bit;
	const char *word;
} role_words[] = {{RT_ROLE_API, "api"}, {RT_ROLE_AGENT, "agent"}, {RT_ROLE_ADMIN, "admin"}, {RT_ROLE_DNS, "dns"}, {RT_ROLE_STREAM, "stream"}},
  state_words[] = {{RT_S_NONE, "none"},
		   {RT_S_CREATED, "created"},
		   {RT_S_RUNNING, "running"},
		   {RT_S_ENDING, "ending"},
		   {RT_S_EXITED, "exited"},
		   {RT_S_MAKING, "making"}};

void rt_print_privileges(FILE *out)
{
	fputs("# What the runtime does for others, and with which privileges\n\n"
	      "Printed by `quilt-runtime --privileges` from the table in `src/runtime/ops.c`; do not edit.\n\n"
	      "`quilt-runtime` is the only privileged program. Peers are told apart by SO_PEERCRED alone: `api` is the uid of `api_user`,\n"
	      "`agent` that of `agent_user`, `dns` that of `dns_user`, `stream` that of `stream_user`, `admin` is root. The state is the runtime's own record: `none` when there is no container of that id,\n"
	      "or the request is not about one; `ending` while stop, kill or delete is under way, `making` while\n"
	      "create waits for a copy.\n\n"
	      "The runtime keeps these capabilities in its bounding and permitted sets, and no others:\n\n",
	      out);
#define CAP(name, needed, why) fputs("- " #name ": " why "\n", out);
#include "caps.def"
#undef CAP
	fputs("\nIt sets no_new_privs on itself (which the containers inherit, and should) and a umask of 077, and lives in a\nmount namespace of its own, a slave of the host's. It has no seccomp filter of its own: a filter is\n"
	      "inherited, and would then bound what containers may do, in ways that break programs in them (security.md 5.8, trap 1).\n\n",
	      out);
	for (unsigned op = 0; op < RT_OP_COUNT; op++) {
		const struct rt_op_def *d = &ops[op];

		if (!d->fn)
			continue;
		fprintf(out, "## %s\n\n%s.\n\n- for:", rt_shapes[op].name, rt_shapes[op].doc);
		for (size_t i = 0; i < QT_LEN(role_words); i++)
			if (d->roles & role_words[i].bit)
				fprintf(out, " %s", role_words[i].word);
		fputs("\n- in state:", out);
		for (size_t i = 0; i < QT_LEN(state_words); i++)
			if (d->states & state_words[i].bit)
				fprintf(out, " %s", state_words[i].word);
		fprintf(out, "\n- changes something: %s\n- answered within: %u ms%s\n- capabilities: %s\n- in hostile hands: %s\n\n",
			d->flags & RT_MUTATES ? "yes" : "no", d->budget_ms,
			op == RT_STOP ? " and the time-out of the request" : "", d->uses, d->hostile);
	}
}

static void print_fields(FILE *out, const char *what, const struct rt_field *f, size_t n, unsigned fds)
{
	static const char *const types[] = {"u32", "u64", "id", "text", "list", "bytes"};

	fprintf(out, "%s:", what);
	if (n == 0 && fds == 0)
		fputs(" nothing", out);
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "%s `%s` %s", i ? "," : "", f[i].name, types[f[i].type]);
		if (f[i].max)
			fprintf(out, " (at most %u bytes)", f[i].max);
	}
	if (fds)
		fprintf(out, "%s %u descriptor%s", n ? ", and" : "", fds, fds > 1 ? "s" : "");
	fputs("\n\n", out);
}

void rt_print_protocol(FILE *out)
{
	fprintf(out,
		"# The runtime's protocol, version %u\n\n"
		"Printed by `quilt-runtime --protocol` from `src/wire/ops.def`; do not edit.\n\n"
		"A SOCK_SEQPACKET connection to `RUN_DIR/runtime.sock`; one message is one read, of at most %u bytes. Numbers are in the machine's byte\n"
		"order. A message is a head of 16 bytes: magic u32 (0x%08x), operation u16, code u16 (0 in requests; in answers 0 or a\n"
		"number of `src/base/errors.def`, counted from 1), serial u64 (the answer has the request's); then the fields of the operation in order:\n\n"
		"- u32, u64: 4 and 8 bytes;\n"
		"- id, text: u32 length with the NUL, the bytes, NUL; none inside;\n"
		"- list: u32 length of all, then texts with a NUL each;\n"
		"- bytes: u32 length, the bytes.\n\n"
		"Nothing may be left over. An answer with a code holds the texts msg, field, expected, received, state and the u32 errno.\n"
		"A peer that breaks these rules is closed. One request at a time is read from a connection; the first must be hello.\n\n",
		RT_PROTOCOL, RT_MSG_MAX, RT_MAGIC);
	for (unsigned op = 1; op < RT_OP_COUNT; op++) {
		const struct rt_op_shape *s = &rt_shapes[op];

		fprintf(out, "## %u %s\n\n%s.\n\n", op, s->name, s->doc);
		if (op != RT_EVENT)
			print_fields(out, "Request", s->req, s->n_req, s->fds_in);
		print_fields(out, op == RT_EVENT ? "Message" : "Answer", s->rep, s->n_rep, s->fds_out);
	}
}
