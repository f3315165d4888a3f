using System.Runtime.CompilerServices;
using System.Runtime.Loader;

namespace Millrace.Sqlite;

/// <summary>Makes EF Core find the SQLite library of this project, whichever version it was built against.</summary>
public static class SqliteLibrary
{
    private const string Prefix = "SQLitePCLRaw.";

    private static bool s_isLoaded;

    /// <summary>Loads the library. Call it before the first context is made; later calls do nothing.</summary>
    [MethodImpl(MethodImplOptions.Synchronized)]
    public static void Load()
    {
        if (s_isLoaded)
            return;
        s_isLoaded = true;
        AssemblyLoadContext.Default.Resolving += static (context, name) => name.Name!.StartsWith(Prefix, StringComparison.Ordinal)
            ? context.LoadFromAssemblyPath(Path.Combine(AppContext.BaseDirectory, $"{name.Name}.dll"))
            : null;
        Initialize();
    }

    // Apart, so that nothing of the library is needed before the hook is there.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Initialize() => SQLitePCL.Batteries_V2.Init();
}
