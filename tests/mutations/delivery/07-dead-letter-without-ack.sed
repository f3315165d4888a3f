# file: src/Millrace/Consuming/Settlement.cs
# A dead letter leaves its entry pending.
s/return CommitAsync\([^;]*(\[new CommitChange\.Append\(_plan\.DeadLetters, letter\)\])[^;]*;/_held.Remove(delivery);\n        return ApplyAsync(delivery, new() { Changes = \1 });/
