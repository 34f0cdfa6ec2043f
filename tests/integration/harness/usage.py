"""The usage records of a tenant, as Redis has them."""
import json


def records(stack, tenant):
    """Each as a dict, in order, its metadata decoded."""
    answer = stack.redis("--json", "XRANGE", f"quilt:{{{tenant}}}:usage", "-", "+")
    out = []
    for _, fields in json.loads(answer or "[]"):
        record = dict(zip(fields[::2], fields[1::2])) if isinstance(fields, list) else fields
        out.append({**record, "metadata": json.loads(record["metadata"])})
    return out


def usage_of(stack, tenant, who):
    """The kinds of the records of a container or a volume, in order."""
    return [r["event_type"] for r in records(stack, tenant) if who in (r["container_id"], r["metadata"].get("volume_id"))]
