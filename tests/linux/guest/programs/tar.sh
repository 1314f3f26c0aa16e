#!/bin/bash
# An archive is unpacked, with owners, times and links, and made again from what was unpacked.
. /virtfs/guest/functions.sh
# But for what may be longer than a message: GNU tar opens with O_NONBLOCK. Linux's client then reads one message at a
# time, save with cache=loose, whatever the server; and tar takes less than it asked for as the end of the file.
form=(--blocking-factor=256 --format=posix --sort=name --numeric-owner --exclude=tree/names/sparse
  --pax-option=delete=atime,delete=ctime,exthdr.name=%d/%f)
tar "${form[@]}" -C "$INPUT" --mtime=@1234567890 -cf original.tar tree
tar -xpf original.tar --xattrs --sparse
tar "${form[@]}" -cf again.tar tree
cmp original.tar again.tar && echo "the same archive"
tar -df again.tar && echo "no difference to the files"
stat -c %h tree/another-name
cp --preserve=all "$INPUT/tree/names/sparse" tree/names/
cmp "$INPUT/tree/names/sparse" tree/names/sparse && echo "the same long file"
rm original.tar again.tar
