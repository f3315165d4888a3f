# file: src/Millrace.Streams/Engine/Mutations/Claim.cs
# Two that saw the same idle entry both get it, one after the other.
s/ \|\| !pending\.IsIdle\(nowMs, MinIdleMs\)//
