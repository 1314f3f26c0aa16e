#!/bin/bash
# An archive is unpacked, with owners, times and links, and made again from what was unpacked.
. /virtfs/guest/functions.sh
form=(--blocking-factor=256 --format=posix --sort=name --numeric-owner --pax-option=delete=atime,delete=ctime,exthdr.name=%d/%f)
tar "${form[@]}" -C "$INPUT" --mtime=@1234567890 -cf original.tar tree
tar -xpf original.tar --xattrs --sparse
tar "${form[@]}" -cf again.tar tree
cmp original.tar again.tar && echo "the same archive"
tar -df again.tar && echo "no difference to the files"
stat -c %h tree/another-name
rm original.tar again.tar
