# file: src/Millrace/Consuming/Settlement.cs
# Outputs and state leave in a commit of their own, before the acknowledgement.
s/(        context\?\.AddEffectsTo\(conditions, changes\);\n)/\1        if (changes.Count > 0)\n            await ApplyAsync(delivery, new() { Conditions = conditions, Changes = [.. changes] }).ConfigureAwait(false);\n        changes.Clear();\n        conditions = StillOurs(delivery);\n/
