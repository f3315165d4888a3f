using System.Security.Cryptography;
using System.Text;
using Millrace.Embedded;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Records;
using Millrace.Streams.Names;

namespace Millrace.Tests.Journal;

/// <summary>Everything an engine holds, as text: a line for each setting and each key, with its expiry and the hash of the bytes DUMP would give.</summary>
internal static class StateDigest
{
    private const int MaxValueBytes = 256 * 1024 * 1024;

    /// <summary>Of a store, which nobody else uses.</summary>
    public static string Of(EmbeddedStreamStore store)
    {
        store.EnterTurnBesidesTime();
        try
        {
            return Of(store.EngineNeedsLock);
        }
        finally
        {
            store.ExitTurn();
        }
    }

    public static string Of(StreamEngine engine)
    {
        var options = engine.Options;
        var text = new StringBuilder(
            $"blocks of {options.StreamNodeMaxEntries}, IDs for {options.StreamIdmpDurationSeconds} s, {options.StreamIdmpMaxSize} of them\n");
        for (var database = 0; database < engine.Databases.Count; database++)
        {
            foreach (var (key, value) in engine.Databases[database].OrderBy(static item => item.Key, KeyText.ByteComparer))
            {
                var hash = Convert.ToHexString(SHA256.HashData(ValueRecord.Write(value, MaxValueBytes).Span).AsSpan(0, 8));
                text.Append($"{database} {Uri.EscapeDataString(key)} {value.TypeName} expires {value.ExpiresMs} {hash}\n");
            }
        }

        return text.ToString();
    }
}
