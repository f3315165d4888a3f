# file: src/Millrace.Embedded/Journal/UnsyncedTail.cs
# What the page cache let go of between two reads of recovery is missed by nobody.
s/leftBytes != 0/leftBytes < 0/
