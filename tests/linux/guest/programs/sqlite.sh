#!/bin/bash
# Four writers and a reader share a database by SQLite's own locking (fcntl ranges); a journal of each kind that works
# without shared memory; then everything is counted.
. /virtfs/guest/functions.sh
rows=60 journals="delete truncate persist"
[ "$SIZE" = full ] || { rows=5; journals="delete persist"; }
for journal in $journals; do
  db=$journal.db
  sqlite3 "$db" "pragma journal_mode=$journal; create table t(writer, number, text, unique(writer, number));"
  writers=()
  for writer in 1 2 3 4; do
    for number in $(seq "$rows"); do
      echo "begin immediate; insert into t values($writer, $number, printf('%0400d', $number)); commit;"
      [ $((number % 5)) != 0 ] || echo "update t set text = text || '!' where writer = $writer and number = $number - 3;"
    done | sed "1i .timeout 60000\npragma journal_mode=$journal;" | sqlite3 -bail "$db" >/dev/null &
    writers+=($!)
  done
  # Sees only whole commits.
  for _ in 1 2 3; do
    quietly sqlite3 -cmd '.timeout 60000' "$db" 'select count(*) from t; pragma quick_check;'
  done
  for writer in "${writers[@]}"; do wait "$writer"; done
  sqlite3 "$db" "pragma integrity_check; select writer, count(*), sum(number), sum(length(text)) from t group by writer;
    delete from t where number % 2; vacuum; select count(*) from t;"
  sqlite3 "$db" 'select * from t order by writer, number' | sha256sum
done
rm -f ./*.db-journal ./*.db
