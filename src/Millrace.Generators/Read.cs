namespace Millrace.Generators;

/// <summary>What was read from one attribute: a registration, or why there is none.</summary>
/// <typeparam name="T">The kind of registration; compared by content.</typeparam>
/// <param name="Registration">The registration, unless there is a problem.</param>
/// <param name="Problem">The problem.</param>
internal sealed record Read<T>(T? Registration, Problem? Problem)
    where T : class;
