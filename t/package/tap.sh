# Sourced by the scripts that run in a Debian or with containers: tests, as TAP

tests=0
failed=0
work=${work-$(mktemp -d)}


# ok NAME COMMAND...

ok() {
    what=$1
    shift
    tests=$((tests + 1))

    if "$@" > "$work/output" 2>&1; then
        echo "ok $tests - $what"
    else
        echo "not ok $tests - $what"
        sed 's/^/# /' "$work/output"
        failed=1
    fi
}


not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { echo "\"$1\", expected \"$2\""; return 1; }; }


# soon COMMAND...: within a minute or so; what it says last

soon() {
    for i in $(seq 600); do
        "$@" > "$work/said_soon" 2>&1 && return
        sleep 0.1
    done

    cat "$work/said_soon"
    return 1
}


# the last command of the script

done_testing() {
    echo "1..$tests"
    exit $failed
}
