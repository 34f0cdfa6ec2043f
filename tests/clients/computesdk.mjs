// The public surface of @computesdk/quilt, as its users call it, against the stack that QUILT_BASE_URL names. scripts/check-client runs it.
import assert from "node:assert/strict";
import { quilt } from "@computesdk/quilt";

const provider = quilt({ pollIntervalMs: 20 });
const { sandbox, snapshot } = provider;
let passed = 0;
let failed = 0;

// One thing tried; what follows does not depend on its success more than it must.
async function tried(what, run) {
	try {
		await run();
		passed++;
		console.log(`ok    ${what}`);
	} catch (error) {
		failed++;
		console.log(`FAIL  ${what}\n      ${error.stack ?? error}`);
	}
}

const name = `client-${process.pid}`;
const made = [];
let box;
let taken;
let clone;

await tried("create", async () => {
	box = await sandbox.create({ name, envs: { GREETING: "hello, world" }, metadata: { suite: "client", n: 7 } });
	made.push(box.sandboxId);
	assert.match(box.sandboxId, /^ctr_/);
	assert.equal(box.provider, "quilt");
});

if (!box) {
	console.log(`${passed} passed, ${failed} failed`);
	process.exit(1);
}

await tried("getInfo", async () => {
	const info = await box.getInfo();
	assert.equal(info.status, "running");
	assert.equal(info.metadata.name, name);
	assert.equal(info.metadata.tenantId, process.env.QUILT_TENANT_ID);
	assert.match(info.metadata.ipAddress, /^10\./);
	assert.ok(Math.abs(Date.now() - info.createdAt.getTime()) < 600_000, `createdAt is ${info.createdAt}`);
});
await tried("a command's output and exit code", async () => {
	const r = await box.runCommand("echo out; echo err >&2; exit 3");
	assert.deepEqual([r.stdout, r.stderr, r.exitCode], ["out\n", "err\n", 3]);
});
await tried("the environment of create, and of a command", async () => {
	const r = await box.runCommand('sh -c \'echo "$GREETING $OTHER"\'', { env: { OTHER: "o'clock \"$5\"" } });
	assert.equal(r.stdout, "hello, world o'clock \"$5\"\n");
});
await tried("a working directory", async () => {
	assert.equal((await box.runCommand("pwd", { cwd: "/tmp" })).stdout, "/tmp\n");
});
await tried("a command past its time", async () => {
	assert.equal((await box.runCommand("sleep 4713", { timeout: 300 })).exitCode, 124);
});
await tried("a command in the background", async () => {
	assert.equal((await box.runCommand("touch /background", { background: true })).exitCode, 0);
	for (let i = 0; !(await box.filesystem.exists("/background")); i++) assert.ok(i < 1000, "it never ran");
});

await tried("files: write and read", async () => {
	const text = `näme 'quoted' "twice" $HOME \`x\` \\ \n${"long ".repeat(18000)}`;
	await box.filesystem.writeFile("/data/sub dir/a file.txt", text);
	assert.equal(await box.filesystem.readFile("/data/sub dir/a file.txt"), text);
});
await tried("files: mkdir, readdir, exists, remove", async () => {
	await box.filesystem.mkdir("/data/d");
	const entries = await box.filesystem.readdir("/data");
	assert.deepEqual(entries.map((e) => [e.name, e.type]).sort(), [["d", "directory"], ["sub dir", "directory"]]);
	assert.equal(await box.filesystem.exists("/data/d"), true);
	await box.filesystem.remove("/data/d");
	assert.equal(await box.filesystem.exists("/data/d"), false);
});
await tried("files: one that is not there", async () => {
	await assert.rejects(box.filesystem.readFile("/nothing"), /not found or unreadable/);
});

await tried("snapshot: create", async () => {
	taken = await snapshot.create(box.sandboxId, { name: "first", metadata: { why: "test" } });
	assert.match(taken.id, /^snap_/);
	assert.equal(taken.metadata.sourceContainerId, box.sandboxId);
	assert.deepEqual(taken.metadata.labels, { why: "test", "computesdk:name": "first" });
	assert.equal(taken.metadata.pinned, false);
	assert.equal(taken.metadata.expiresAt, null);
});
await tried("snapshot: list, of all and of one", async () => {
	assert.deepEqual((await snapshot.list()).map((s) => s.id), [taken.id]);
	assert.deepEqual((await snapshot.list({ sandboxId: box.sandboxId })).map((s) => s.id), [taken.id]);
	assert.deepEqual(await snapshot.list({ sandboxId: "ctr_none" }), []);
});
await tried("snapshot: a sandbox of it, with its files, apart from its source", async () => {
	await box.filesystem.writeFile("/later", "after the snapshot");
	clone = await sandbox.create({ snapshotId: taken.id, name: `${name}-clone`, metadata: { clone: "yes" } });
	made.push(clone.sandboxId);
	assert.notEqual(clone.sandboxId, box.sandboxId);
	assert.equal((await clone.getInfo()).status, "running");
	assert.match(await clone.filesystem.readFile("/data/sub dir/a file.txt"), /^näme 'quoted'/);
	assert.equal(await clone.filesystem.exists("/later"), false);
	assert.equal((await clone.runCommand("sh -c 'echo $GREETING'")).stdout, "hello, world\n");
});
await tried("snapshot: delete, and once more", async () => {
	await snapshot.delete(taken.id);
	await snapshot.delete(taken.id);
	assert.deepEqual(await snapshot.list(), []);
	assert.equal((await clone.runCommand("cat '/data/sub dir/a file.txt' | head -c 2")).exitCode, 0);
});
await tried("snapshot: a sandbox of one that is gone", async () => {
	await assert.rejects(sandbox.create({ snapshotId: taken.id }), /Quilt API request failed for \/api\/snapshots\/snap_/);
});

await tried("list", async () => {
	const all = await sandbox.list();
	assert.deepEqual(all.map((s) => s.sandboxId).sort(), [...made].sort());
	assert.equal((await all[0].runCommand("echo listed")).stdout, "listed\n");
});
await tried("getById, and null for nobody", async () => {
	assert.equal((await sandbox.getById(box.sandboxId)).sandboxId, box.sandboxId);
	assert.equal(await sandbox.getById("ctr_00000000000000000000000000000000"), null);
	assert.equal(await sandbox.getById("no/such thing"), null);
});
await tried("an error's text reaches the client", async () => {
	await assert.rejects(sandbox.create({ name: "x", image: "no-such-image" }), /no-such-image/);
	await assert.rejects(sandbox.create({ name }), /exists already/);
});
await tried("destroy, and once more", async () => {
	for (const id of made) await sandbox.destroy(id);
	await box.destroy();
	assert.equal(await sandbox.getById(box.sandboxId), null);
	assert.deepEqual(await sandbox.list(), []);
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
