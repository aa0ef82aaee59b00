# requirements.awk: the page docs/requirements.md from two inputs: docs/requirements.ids, then "ID file" lines.
# Plain POSIX awk. The order is that of the ids file.

BEGIN {
    split("NODE:Node daemon,MODEL:Model engine and federated learning,SCHED:Task scheduler," \
          "LN:Lightning payments,OTS:OpenTimestamps,DATA:Data pipeline,GH:GitHub integration," \
          "API:Public API,GOV:Governance,COORD:Coordinator,POOL:Mining pool,STAKE:Proof of stake," \
          "NET:Network and Tor,SEC:Security,PERF:Performance,TST:Key test scenarios", pairs, ",")
    for (i in pairs) { split(pairs[i], pair, ":"); title[pair[1]] = pair[2] }
}

FILENAME == ids_file { # ID text
    ids++
    id[ids] = $1
    text[ids] = substr($0, length($1) + 2)
    next
}

{ # ID file: sorted and without doubles
    tests[$1] = tests[$1] (tests[$1] == "" ? "" : "<br>") "[" $2 "](../" $2 ")"
}

function escaped(s) {
    gsub(/</, "\\&lt;", s)
    gsub(/[*|]/, "\\\\&", s)
    return s
}

END {
    for (i = 1; i <= ids; i++) if (id[i] in tests) named++
    print "# Requirements and their tests\n"
    print "Written by `./owm requirements` from `docs/requirements.ids` and from the requirement IDs that"
    print "stand in `tests/` (for SRS-PERF also in `bench/`). Do not edit it: a test fails if it is stale.\n"
    printf "%d of %d requirements are named by a test.\n", named, ids
    for (i = 1; i <= ids; i++) {
        group = id[i]; sub(/^SRS-/, "", group); sub(/-[0-9]+$/, "", group)
        if (group != last) {
            printf "\n## %s\n\n| ID | Requirement | Tests |\n|---|---|---|\n", title[group]
            last = group
        }
        printf "| %s | %s | %s |\n", id[i], escaped(text[i]), (id[i] in tests) ? tests[id[i]] : "not yet"
    }
}
