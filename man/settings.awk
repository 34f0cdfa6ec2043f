# `quiltctl config dump --doc` as roff: a comment and the setting below it become one entry.
function roff(s) { gsub(/\\/, "\\e", s); gsub(/-/, "\\-", s); sub(/^[.']/, "\\\\\\&&", s); return s }
/^# / { doc = substr($0, 3); next }
/^[a-z_]+ =/ { print ".TP\n.B " roff($1) "\n" roff(doc); doc = "" }
