using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using Millrace.Streams;

namespace Millrace.Embedded.Storage;

/// <summary>
/// Loads what the store may ever need. A process out of descriptors can load no assembly, and the runtime remembers the failure: what a rare path
/// uses first then, such as the beginning of a snapshot, would be missing for good.
/// </summary>
internal static class Preload
{
    private static readonly Lazy<bool> Once = new(Load);

    /// <summary>Does it when it is not done: a few milliseconds.</summary>
    public static void Run() => _ = Once.Value;

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "A reference that was trimmed away has nothing that could be needed.")]
    private static bool Load()
    {
        foreach (var assembly in (Assembly[])[typeof(EmbeddedStreamStore).Assembly, typeof(IStreamStore).Assembly])
        {
            foreach (var name in assembly.GetReferencedAssemblies())
                Assembly.Load(name);
        }

        return true;
    }
}
