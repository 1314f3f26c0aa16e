# Mistakes of the administrator: one sentence each, and no node.
# shellcheck shell=dash

# mistake WORDS COMMAND...: it fails, in one line that has the words, and xenstore is as before.
mistake() {
  local words=$1
  shift
  ! "$@" >"$STATE/out" 2>"$STATE/err" || fail "accepted: $*"
  log "$* says: $(cat "$STATE/err")"
  [ "$(wc -l <"$STATE/err")" = 1 ] || fail "not one line: $(cat "$STATE/err")"
  grep -q -e "$words" "$STATE/err" || fail "it does not say '$words': $(cat "$STATE/err")"
  xenstore-ls -f /local/domain >"$STATE/nodes"
  cmp -s "$STATE/nodes" "$STATE/nodes.before" && return
  diff "$STATE/nodes.before" "$STATE/nodes" || :
  fail "nodes changed"
}
bad_file() {
  configure bad pv 128 "$(shares "$1")"
  mistake "$2" xl-virtfs create "$STATE/guest/bad/cfg"
}

case_ten_mistakes_are_one_sentence_each() {
  mkdir -p /srv/allowed /srv/else
  echo 'roots=[ "/srv" ]' >/etc/xen/virtfs.conf
  echo file >/srv/file
  mkdir -p /outside /srv/ro
  mount -t tmpfs -o ro none /srv/ro
  xenstore-ls -f /local/domain >"$STATE/nodes.before"
  bad_file "$(on_share docs),colour=red" "unknown option colour"
  bad_file "tag=nowhere,path=/srv/nowhere,security_model=passthrough" "/srv/nowhere does not exist"
  bad_file "tag=file,path=/srv/file,security_model=passthrough" "is not a directory"
  bad_file "$(on_share docs)', '$(on_share docs)" "is the tag of"
  bad_file "$(on_share docs mapped)" mapped-xattr
  bad_file "tag=$(printf '%300s' '' | tr ' ' x),path=/srv/docs,security_model=passthrough" 255
  bad_file "tag=outside,path=/outside,security_model=passthrough" "allows what is in"
  mistake "no domain nobody" xl-virtfs attach nobody "$(on_share docs)"
  bad_file "$(on_share docs),max-fids=many" "max-fids=many"
  bad_file "$(on_share ro)" readonly
  umount /srv/ro
  rm /etc/xen/virtfs.conf
}
