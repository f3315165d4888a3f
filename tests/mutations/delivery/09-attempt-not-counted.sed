# file: src/Millrace/Consuming/MovedEntry.cs
# A retry is as good as a first attempt.
s/EnvelopeFieldNames\.Attempt, delivery\.Attempt \+ 1\)/EnvelopeFieldNames.Attempt, delivery.Attempt)/
