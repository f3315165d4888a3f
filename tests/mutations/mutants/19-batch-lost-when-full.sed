# file: src/Millrace.Embedded/Journal/StreamJournal.Failures.cs
# What could not be written to a full device is forgotten.
s/    private void TryAgain\(\)\n    \{/    private void TryAgain()\n    {\n        _writing?.Clear();/
