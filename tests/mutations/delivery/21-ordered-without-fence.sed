# file: src/Millrace/Consuming/Settlement.cs
# A process that is the reader of an ordered group no more settles what it had begun.
s/        if \(delivery\.Tenure is \{ \} tenure\)\n            fence\.Add\(tenure\.Fence\);\n//
