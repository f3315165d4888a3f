# file: src/Millrace/Consuming/GroupReader.cs
# Entries are claimed from those who renew their leases.
s/MinIdleTime = isOwn \? TimeSpan\.Zero : plan\.Options\.Lease/MinIdleTime = TimeSpan.Zero/g
s/return !isOwn \? lease :/return !isOwn ? TimeSpan.Zero :/
