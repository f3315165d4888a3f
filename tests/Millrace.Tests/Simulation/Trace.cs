namespace Millrace.Tests.Simulation;

/// <summary>A hash of all that happened in a run, in order: two runs of one seed must have the same.</summary>
internal sealed class Trace
{
    private const ulong Prime = 1099511628211;

    public ulong Hash { get; private set; } = 14695981039346656037;

    /// <summary>The run in words, when somebody will read it.</summary>
    public List<string>? Lines { get; init; }

    public void Add(Operation operation, string name, FaultKind? fault)
    {
        Add((int)operation, name.Length);
        if (operation != Operation.Read)
            Lines?.Add($"    {operation} {name} {fault}");
    }

    public void Add(long first, long second) => Hash = (((Hash ^ (ulong)first) * Prime) ^ (ulong)second) * Prime;

    public void Add(string text)
    {
        Lines?.Add(text);
        AddSilently(text);
    }

    /// <summary>What is too long to be read.</summary>
    public void AddSilently(string text)
    {
        foreach (var character in text)
            Hash = (Hash ^ character) * Prime;
    }
}
