// What users test with is what we test with.
global using ManualTimeProvider = Millrace.Testing.VirtualTimeProvider;
