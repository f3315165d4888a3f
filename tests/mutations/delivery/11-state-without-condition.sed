# file: src/Millrace/State/StateSession.cs
# State is written over whatever somebody else wrote meanwhile.
# seeds: 200
s/if \(document\.IsKnown\)/if (document.IsKnown \&\& document.Version < 0)/
