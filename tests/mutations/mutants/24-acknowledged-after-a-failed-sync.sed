# file: src/Millrace.Embedded/Journal/StreamJournal.Write.cs
# A write that ends well is acknowledged although a sync beside it failed.
s/            failure = _failure \?\? failure;\n//
