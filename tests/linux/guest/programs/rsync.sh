#!/bin/bash
# rsync there, in place after changes, back; what it finds to do the second time is nothing.
. /virtfs/guest/functions.sh
rsync -aHS --delete "$INPUT/tree/" copy/
rsync -aHS --itemize-changes "$INPUT/tree/" copy/
cp -a copy other
for file in other/part2/section*/*.txt; do echo "changed" >>"$file"; done
rm -rf other/part4
mv other/part6 other/part600
rsync -aH --inplace --no-whole-file --checksum --delete other/ copy/
diff -r --no-dereference other copy && echo "the same"
rm -rf other
