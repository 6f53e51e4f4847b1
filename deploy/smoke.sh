#!/bin/sh
# The round trip against any address: event, decision, outcome, and reading them back. Exits 1 at the first answer that is not right.
# Usage: URL=https://… TOKEN=… sh deploy/smoke.sh
set -eu

: "${URL:?say which address: URL=http://127.0.0.1:8000}"
: "${TOKEN:?say which token: TOKEN=\$(cat .precedent/dev-token)}"
URL=${URL%/}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Kept out of the command line, where other users of the machine could read it.
( umask 077; printf 'header = "Authorization: Bearer %s"\n' "$TOKEN" > "$work/curl" )
run="smoke-$(date +%s)-$$"

# call NAME METHOD PATH STATUS [BODY]: keeps the answer as $work/NAME.
call() {
    name=$1 method=$2 path=$3 wanted=$4
    if [ $# -gt 4 ]; then
        set -- -H 'Content-Type: application/json' --data "$5"
    else
        set --
    fi
    status=$(curl --silent --show-error --max-time 20 --config "$work/curl" -H "x-cid: $run" -X "$method" -o "$work/$name" -w '%{http_code}' "$@" "$URL$path") || {
        echo "$method $path: no answer from $URL" >&2
        exit 1
    }
    case " $wanted " in
        *" $status "*) ;;
        *) echo "$method $path: answered $status, wanted $wanted: $(head -c 400 "$work/$name")" >&2; exit 1 ;;
    esac
}

# expect NAME EXPRESSION: the expression must be true, with the answer as `a`.
expect() {
    python3 - "$work/$1" "$2" <<'PYTHON' || exit 1
import json
import sys

with open(sys.argv[1]) as file:
    a = json.load(file)
if not eval(sys.argv[2], {"a": a}):
    sys.exit(f"wrong answer: {sys.argv[2]} does not hold of {json.dumps(a)[:600]}")
PYTHON
}

# field NAME KEY: one field of an answer.
field() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/$1" "$2"
}

ok() {
    echo "ok  $1"
}

call health GET /health 200
expect health 'a["ok"] is True'
ok "health"

call event POST /events "200 201" "{\"type\": \"DiscountRequested\", \"actor\": \"smoke\", \"correlationId\": \"$run\", \"payload\": {\"deal_value\": 12000}}"
expect event "a['type'] == 'DiscountRequested' and a['id'] and a['correlation_id'] == '$run'"
ok "event $(field event id)"

facts='{"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.08, "customer_tier": "A"}'
call decision POST /decisions/finance 201 "{\"action\": \"approve_discount\", \"facts\": $facts}"
expect decision 'a["verdict"] == "approve" and a["autonomy_level"] == 2 and a["effective"] is True and a["hash"] and a["receipt"]["seq"] >= 0'
decision=$(field decision id)
ok "decision $decision: approve, AL2"

call flat POST /decisions/finance 201 "$facts"
expect flat 'a["verdict"] == "approve" and a["autonomy_level"] == 2'
ok "the same facts flat"

call outcome POST "/outcomes/$decision" "200 201" '{"metrics": {"won": true, "margin": 0.24, "time_to_close_days": 3}}'
expect outcome '0 <= float(a["reward"]) <= 1'
ok "outcome, reward $(field outcome reward)"

call read GET "/decisions/$decision" 200
expect read "a['id'] == '$decision' and a['verdict'] == 'approve'"
ok "the decision reads back"

call events GET '/events?type=DiscountRequested&limit=100' 200
grep -q "$(field event id)" "$work/events" || { echo "GET /events: the event just written is not among the newest" >&2; exit 1; }
ok "the event is listed"

call metrics GET /metrics 200
expect metrics 'isinstance(a, dict) and a'
ok "metrics"

call unknown POST /decisions/no-such-node 404 "{\"action\": \"x\", \"facts\": {}}"
expect unknown 'a["code"] == "NODE_NOT_FOUND"'
ok "an unknown node is refused"
echo "smoke passed against $URL"
