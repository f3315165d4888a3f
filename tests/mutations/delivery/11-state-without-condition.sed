# file: src/Millrace/State/StateSession.cs
# State is written over whatever somebody else wrote meanwhile.
s/if \(document\.IsKnown\)/if (document.IsKnown \&\& document.Version < 0)/
